"""From class maps and heights to objects that are kept apart where they touch, block by block.

`splitter` is the door for rasters of any size, `watershed` for arrays that are at hand as a whole.
The rule, and what makes it exact whatever the blocks, is told in ``docs/instances.md``.
"""
