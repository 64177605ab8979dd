"""The model file, its card, and the networks that it names."""
