"""Slices: rows told apart by the value of a feature, and what a window says of each."""
