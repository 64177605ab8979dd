"""MatchedLabel rasters and masks of other programs, as polygons."""
