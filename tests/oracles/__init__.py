"""Slow and obvious twins of our algorithms, written from the papers; they import nothing of ours."""
