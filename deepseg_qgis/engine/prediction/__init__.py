"""From predicted cores to polygons and rasters."""
