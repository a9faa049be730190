"""Tests of the core, the shell, the command line and the demo."""
