"""COCO files: read as other programs write them, and written."""
