"""Annotations from and for other programs: COCO, label rasters, masks, data sets."""
