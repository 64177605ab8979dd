"""Training a network on annotated rasters."""
