"""Predictions that were stopped or killed go on where they ended."""
