"""Snapshots of earlier layouts: what there was, as today's monitors know it."""
