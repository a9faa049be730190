"""Predictions and labels that wait for each other."""
