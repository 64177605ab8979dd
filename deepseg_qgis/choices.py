"""The words that parameters of jobs can be: what dialogs offer, and what the engine takes.

``auto`` leaves the choice to the engine. Architectures and encoders stand in `catalogue`.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

AUTO = "auto"
"""The engine chooses."""

NO_WEIGHTS = "none"
"""What ``encoder_weights`` says, beside ``auto`` and names: the encoder starts from random ones."""

DEVICES = ("auto", "cpu", "cuda", "mps")
"""What to compute on: ``auto`` takes a GPU where there is one."""

PRECISIONS = ("auto", "float32", "bfloat16", "int8")
"""The numbers that a network is run with."""

OUTLINES = ("plain", "right_angles", "smooth")
"""The styles that polygons are drawn in."""

MODEL_TASKS = ("semantic", "instance", "panoptic")
"""What a model can do: connected areas, single objects, or each of a panoptic model's categories
in one of the two ways."""

TASKS = ("auto", *MODEL_TASKS)
"""What training can be asked for: ``auto`` judges by how the annotations lie."""

CLASS_WEIGHTINGS = ("auto", "none")
"""How much a pixel counts in training: ``auto`` more in rare categories, ``none`` alike in all."""

MODEL_SIZES = ("small", "medium", "large")
"""How much a network can learn, and how long that and predicting with it take."""

IMPORT_FORMATS = ("coco", "label_raster", "mask_folder")
"""Annotations of other programs: a COCO JSON file, a label raster, a folder of masks."""

VALUE_MEANINGS = ("auto", "binary", "categories", "objects")
"""What values of label rasters and masks are: one category, each its category, each an object."""

ACCELERATORS = ("auto", "cpu", "cuda")
"""Which build of the libraries an engine is made of."""
