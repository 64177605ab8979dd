"""What a model says of each pixel of an area: windows, a pipeline, and predicted cores."""
