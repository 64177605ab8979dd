"""DeepSeg's algorithms as the toolbox shows them, one a file."""
