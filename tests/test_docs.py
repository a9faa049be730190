"""Keeps the documentation true: what it shows is run, what it names must exist."""
