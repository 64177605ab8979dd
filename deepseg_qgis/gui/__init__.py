"""What DeepSeg adds to QGIS's window: menu, toolbar, message bar and filled-in dialogs.

It uses PyQGIS and the standard library alone, and only the desktop loads it: neither
`qgis_process` nor a script ever does.
"""
