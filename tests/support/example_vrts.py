"""VRT files, as GDAL and people write them."""


def vrt_band(source, number=1, inside="", attributes="", source_band=1):
    """Return a band that shows another raster's; ``inside`` and ``attributes`` are its own XML."""
    return (
        f'<VRTRasterBand dataType="Byte" band="{number}"{attributes}>{inside}<SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename>'
        f"<SourceBand>{source_band}</SourceBand></SimpleSource></VRTRasterBand>"
    )


def vrt(*bands, side):
    """Return a VRT of ``side`` × ``side`` pixels."""
    return f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}">{"".join(bands)}</VRTDataset>'
