"""The engine: numpy, rasterio, torch. It runs in a process of its own and never imports QGIS."""
