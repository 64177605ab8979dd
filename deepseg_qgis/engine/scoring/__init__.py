"""How good predictions are, and how much of everything there is."""
