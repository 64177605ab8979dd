"""From decided cores to polygons and rasters."""
