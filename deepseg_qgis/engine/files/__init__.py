"""All reading and writing of rasters, vectors and folders."""
