"""Tests of slices."""
