"""Training a network on what is known."""
