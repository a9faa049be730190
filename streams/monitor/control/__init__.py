"""Specs and references: what a model version is watched with."""
