"""Windows, grids and true sizes: arithmetic on arrays, no I/O."""
