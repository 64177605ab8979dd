"""What `files.rasters` is made of: datasets, and pictures made of other pictures."""
