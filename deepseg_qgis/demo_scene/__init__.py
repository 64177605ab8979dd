"""A scene of its own: an aerial picture drawn from polygons that are then its exact annotations.

The world is an endless plane in pixel coordinates (x right, y down). A lattice of winding roads and
rivers cuts it into blocks; each block is made from its own seed, so any window of any scene can be
drawn by itself.

::

    lattice   roads and rivers, and the blocks between them
    frame     places inside a block, counted from one of its sides
    layers    polygons and what they are made of
    draft     what lies in a block while it is being planned
    plan      which bands of land lie in which block
    houses    bands with buildings
    land      bands with fields, ponds, woods and greens
    trees     trees, kept clear of everything else
    block     all of this together: one finished block
    textures  noise that never ends
    shading   how roofs, crowns, roads and crops catch the light
    painter   pixels of a window
    scene     a square of the world, with its grid, areas and annotations
"""
