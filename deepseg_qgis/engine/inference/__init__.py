"""Running a model over rasters: windows, engines (OpenVINO, torch), and decided cores."""
