"""Layers and files of the user's: read for the engine, styled when they come back."""
