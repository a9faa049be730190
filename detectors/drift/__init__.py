"""Detectors of change along a series, as banks over many series."""
