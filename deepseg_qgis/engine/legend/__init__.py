"""What the classes of a class map mean, and how probabilities become classes."""
