"""Tests of the client for model servers."""
