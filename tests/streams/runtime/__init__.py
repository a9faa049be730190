"""Tests of the shell, on a log in memory."""
