"""Pretrained encoders: their weights on this computer, and how they go into a network."""
