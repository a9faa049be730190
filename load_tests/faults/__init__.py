"""Faults injected into real data, and what a monitor says of them."""
