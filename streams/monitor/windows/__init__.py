"""Cutting rows into windows."""
