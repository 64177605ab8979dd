"""From class maps to exact polygons, block by block, in bounded memory.

`vectoriser` is the door. What makes it exact is told in ``docs/prediction.md``.
"""
