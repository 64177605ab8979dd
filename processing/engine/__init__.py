"""The engine seen from QGIS: found, set up, started, listened to and stopped."""
