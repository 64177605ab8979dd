"""Trainings beside each other: what became of each, and with which settings."""
