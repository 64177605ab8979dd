"""What `deepseg_qgis.engine.rasters` is made of: datasets, and pictures made of other pictures."""
