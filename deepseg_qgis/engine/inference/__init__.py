"""Running a model over rasters: windows, backends (OpenVINO, torch), and decided cores."""
