"""Slow and obvious twins of our algorithms, written from the papers; nothing of ours inside."""
