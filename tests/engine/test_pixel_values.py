"""What a pixel's value means: palettes, scale and offset, and which band is which."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import example_jobs
import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from example_vrts import vrt, vrt_band
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.files.raster_inputs import unpacking
from deepseg_qgis.engine.files.raster_inputs.band_order import matching_bands
from deepseg_qgis.engine.files.raster_inputs.bands import Band, RasterKind, named
from deepseg_qgis.engine.files.raster_inputs.physical import PhysicalValues
from deepseg_qgis.engine.files.raster_inputs.pixels import Pixels
from deepseg_qgis.engine.files.raster_sets import (
    as_mosaic,
    model_raster,
    open_rasters,
    with_expected_bands,
)
from deepseg_qgis.engine.files.rasters import Raster
from deepseg_qgis.engine.geometry.georeference import Grid
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models import model_card, networks, weights
from deepseg_qgis.engine.models.model_card import ModelCard
from deepseg_qgis.engine.models.network_design import NetworkDesign
from deepseg_qgis.engine.verbs import polygonize, predict, tile, train
from deepseg_qgis.errors import RasterError, VectorError
from deepseg_qgis.jobs import RasterSource
from tests.engine.conftest import NORTH_UP, UTM

RNG = np.random.default_rng(5)
INDEX = RNG.integers(0, 60, (96, 96)).astype(np.uint8)
TABLE = RNG.integers(0, 256, (60, 3)).astype(np.uint8)
RGB = TABLE[INDEX].transpose(2, 0, 1)
REFLECTANCE = RNG.integers(1, 9000, (3, 96, 96)).astype(np.uint16)


@pytest.fixture
def make(tmp_path):
    """Return a factory: an array, and whatever else a raster may say of its bands."""

    def made(array, name="raster.tif", table=None, tags=(), **about) -> RasterSource:
        path = tmp_path / name
        options = {key: about.pop(key) for key in list(about) if key in ("nodata", "photometric")}
        profile = {"count": len(array), "height": array.shape[1], "width": array.shape[2]}
        driver = {".png": "PNG", ".gif": "GIF", ".bmp": "BMP"}.get(path.suffix, "GTiff")
        moved = Affine.translation(about.pop("moved", 0), 0)
        place = {"crs": UTM, "transform": NORTH_UP @ moved}
        with rasterio.open(
            path, "w", driver=driver, dtype=array.dtype, **profile, **place, **options
        ) as dataset:
            dataset.write(array)
            if table is not None:
                dataset.write_colormap(1, dict(enumerate(map(tuple, table.tolist()))))
            for what, value in about.items():
                setattr(dataset, what, value)
            for number, each in enumerate(tags, start=1):
                dataset.update_tags(number, **each)
        return RasterSource(str(path), "", name)

    return made


def with_palette(make, order=None, name="palette.tif", table=TABLE, **about):
    """Return a raster of the picture `RGB` in numbers of a table in that order."""
    order = np.arange(len(table)) if order is None else order
    permuted = np.empty_like(table)
    permuted[order] = table
    return make(order[INDEX].astype(np.uint8)[None], name, permuted, **about)


def values_of(source, **options):
    with Raster(source, **options) as raster:
        pixels = raster.read(raster.grid.window)
        return raster.kind, pixels.values, pixels.valid


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a factory: what a card says of its bands → a model that says a bit of everything."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(4)
    state = networks.build(NetworkDesign("unet", "resnet18"), 3, 2).state_dict()

    @functools.cache  # each is converted once, which takes seconds
    def made(kind: RasterKind, mean=128.0, std=60.0) -> str:
        card = ModelCard(
            architecture="unet",
            encoder="resnet18",
            task="semantic",
            categories=(Category("a", "#00aa11"), Category("b", "#aabbcc")),
            band_names=tuple(band.name for band in kind.bands),
            dtype=kind.dtype,
            resolution_m=None,
            mean=(mean,) * 3,
            std=(std, 0.9 * std, 1.1 * std),
            tile_size_px=64,
            thresholds=(0.4, 0.3),
            band_info=tuple(map(model_card.band_info, kind.bands)),
        )
        path = str(folder / f"{len(list(folder.iterdir()))}.safetensors")
        weights.save(path, state, card)
        return path

    return made


def predicted(source, path, folder, control=None):
    output = folder / f"found_{Path(source.name).stem}.gpkg"
    job = example_jobs.predict_job(source, path, output, tile_size_px=96, resume=False)
    predict.run(job, control or Control())
    frame = geopandas.read_file(output)
    return [*zip(frame["category"], (shape.wkb for shape in frame.geometry), strict=True)]


@pytest.fixture
def said():
    texts = []
    return Control(lambda event: texts.append(getattr(event, "text", ""))), texts


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.gif", "a.bmp"])
def test_a_palette_is_read_as_its_colours(make, name, said):
    kind, values, valid = values_of(with_palette(make, name=name))
    assert (kind.dtype, [band.name for band in kind.bands]) == ("uint8", ["red", "green", "blue"])
    assert np.array_equal(values, RGB)
    assert valid.all()
    with open_rasters([with_palette(make, name=name)], said[0]) as (raster,):
        assert np.array_equal(raster.overview(96).values, RGB)
    assert "palette" in " ".join(said[1])


@pytest.mark.parametrize("entries", [(90, 91, 255), (90, 90, 255)])
def test_large_png_with_a_palette_is_unpacked_in_numbers(make, monkeypatch, entries):
    monkeypatch.setattr(unpacking, "SMALL_BYTES", 1000)
    source = with_palette(make, name="large.png", table=np.minimum(TABLE, entries))
    assert np.array_equal(
        values_of(source)[1], np.minimum(TABLE, entries)[INDEX].transpose(2, 0, 1)
    )


@given(st.permutations(range(60)))
def test_the_order_of_a_palette_does_not_matter(order):
    permuted = np.full((60, 4), 255)
    permuted[order, :3] = TABLE

    class Stored:
        grid, bands, dtype, colours = Grid(96, 96, NORTH_UP, UTM), 1, "uint8", {}
        band_info = (Band("palette", stored="uint8", palette=tuple(map(tuple, permuted.tolist()))),)

        def read(self, _window):
            return Pixels(np.array(order, np.uint8)[INDEX][None], np.ones((96, 96), bool))

    assert np.array_equal(PhysicalValues(Stored()).read(None).values, RGB)


def test_two_palettes_of_one_picture_give_the_same_polygons(make, model, tmp_path):
    plain = make(RGB, "plain.tif", photometric="RGB")
    path = model(values_of(plain)[0])
    expected = predicted(plain, path, tmp_path)
    assert len(expected) > 3
    for number in range(2):
        source = with_palette(make, np.random.default_rng(number).permutation(60), f"{number}.tif")
        assert predicted(source, path, tmp_path) == expected


def test_what_a_palette_has_as_transparent_or_not_at_all_is_no_data(make):
    clear = np.hstack([TABLE, np.full((60, 1), 255, np.uint8)])
    clear[7, 3] = 0
    source = make(INDEX[None], "clear.png", clear)
    assert np.array_equal(values_of(source)[2], INDEX != 7)
    nodata = make(INDEX[None], "nodata.tif", TABLE, nodata=9)
    assert np.array_equal(values_of(nodata)[2], INDEX != 9)


def test_a_grey_palette_is_one_band_of_grey(make, said):
    greys = np.repeat(RNG.permutation(60).astype(np.uint8)[:, None], 3, axis=1)
    source = make(INDEX[None], "grey.tif", greys)
    kind, values, _ = values_of(source)
    assert len(kind.bands) == 1
    assert np.array_equal(values[0], greys[INDEX, 0])
    colours = with_palette(make, name="colours.tif")
    with open_rasters([source, colours]) as rasters:  # a sheet of a map that happens to be grey
        both = with_expected_bands(rasters, model_raster(rasters).kind, "Training", said[0])
        assert np.array_equal(
            both[0].read(both[0].grid.window).values, greys[INDEX].transpose(2, 0, 1)
        )


def test_a_palette_with_alpha_and_bands_behind_it(make):
    image = np.stack([INDEX, 255 * (INDEX > 4).astype(np.uint8)])
    source = make(image, "vrt_source.tif")
    entries = "".join(f'<Entry c1="{r}" c2="{g}" c3="{b}"/>' for r, g, b in TABLE.tolist())
    bands = [f"<ColorInterp>Palette</ColorInterp><ColorTable>{entries}</ColorTable>"]
    for second, wanted in (("Alpha", 3), ("Undefined", 4)):
        parts = [*bands, f"<ColorInterp>{second}</ColorInterp>"]
        path = Path(source.path).with_name(f"{second}.vrt")
        shown = [
            vrt_band("vrt_source.tif", i, inside, source_band=i)
            for i, inside in enumerate(parts, start=1)
        ]
        path.write_text(vrt(*shown, side=96))
        kind, values, valid = values_of(RasterSource(str(path), "", path.name))
        assert len(kind.bands) == wanted
        assert np.array_equal(values[:3], RGB)
        assert np.array_equal(valid, INDEX > 4) if wanted == 3 else valid.all()


def test_labels_are_the_numbers_and_colours_of_a_palette(make):
    with Raster(with_palette(make), stored=True) as raster:
        assert (raster.bands, len(raster.colours)) == (1, 256)
        assert np.array_equal(raster.read(raster.grid.window).values[0], INDEX)


def test_scale_and_offset_are_applied_band_by_band(make, said):
    scales, offsets = (0.0001, 0.0002, 1.0), (-0.1, 0.0, 0.0)
    array = REFLECTANCE.copy()
    array[:, 3, 4] = 0
    source = make(array, scales=scales, offsets=offsets, nodata=0)
    kind, values, valid = values_of(source)
    assert kind.dtype == "float32"
    expected = array * np.reshape(scales, (3, 1, 1)) + np.reshape(offsets, (3, 1, 1))
    assert np.array_equal(values, expected.astype(np.float32))
    assert np.argwhere(~valid).tolist() == [[3, 4]]
    with open_rasters([source], said[0]) as (raster,):
        assert raster.at_resolution(1.0).read(raster.grid.window).values.dtype == np.float32
    assert "scale and offset" in said[1][0]


def test_an_offset_leaves_predictions_as_they_are(make, model, tmp_path):
    plain = make(RGB.clip(0, 200), "plain.tif")
    raised = make(RGB.clip(0, 200) + np.uint8(40), "raised.tif", offsets=(-40.0,) * 3)
    by_plain, by_raised = (model(values_of(each)[0]) for each in (plain, raised))
    expected = predicted(plain, by_plain, tmp_path)
    assert len(expected) > 3
    assert predicted(raised, by_plain, tmp_path) == expected
    assert predicted(plain, by_raised, tmp_path) == predicted(raised, by_raised, tmp_path)


def test_rasters_of_one_unit_go_together_whatever_their_numbers(make, model, tmp_path):
    stored = {"scales": (0.0001,) * 3}
    old = make(REFLECTANCE, "old.tif", **stored, offsets=(0.0,) * 3)
    new = make(REFLECTANCE + np.uint16(1000), "new.tif", **stored, offsets=(-0.1,) * 3)
    path = model(values_of(old)[0], mean=0.45, std=0.2)
    assert predicted(old, path, tmp_path) == predicted(new, path, tmp_path) != []
    with open_rasters([old, new]) as rasters:
        mosaic = as_mosaic(rasters)
        assert mosaic.read(mosaic.grid.window).values.max() <= 0.9


def test_old_models_did_not_know_of_scale_and_palette(make, said):
    old = RasterKind(tuple(map(named, ("red", "green", "blue"))), "uint8")
    raised = make(RGB, "raised.tif", photometric="RGB", offsets=(-40.0,) * 3)
    with open_rasters([raised]) as rasters:
        with_expected_bands(rasters, old, "The model", said[0])
        assert "train it again" in " ".join(said[1])
        of_numbers = RasterKind((named("palette"),), "uint8")
        with pytest.raises(RasterError, match="numbers of a palette"):
            with_expected_bands(rasters, of_numbers, "The model", said[0])


@pytest.mark.parametrize("trained_on_scaled", [True, False])
def test_other_units_are_refused_with_the_way_out(make, model, tmp_path, trained_on_scaled):
    scaled = make(REFLECTANCE, "scaled.tif", scales=(0.0001,) * 3, offsets=(-0.1,) * 3)
    plain = make(REFLECTANCE, "plain.tif")
    known, other = (scaled, plain) if trained_on_scaled else (plain, scaled)
    path = model(values_of(known)[0])
    way = "-a_scale 0.0001 -a_offset -0.1" if trained_on_scaled else "-a_scale 1 -a_offset 0"
    with pytest.raises(RasterError, match=f"different units.*{way}"):
        predicted(other, path, tmp_path)


def test_an_offset_does_not_squeeze_16_bits_into_8(make, model, tmp_path):
    path = model(values_of(make(RGB, "plain.tif", photometric="RGB"))[0])
    source = make(REFLECTANCE, "sixteen.tif", offsets=(-1000.0,) * 3)
    with pytest.raises(RasterError, match="different units"):
        predicted(source, path, tmp_path)


FLAGS = {
    "flags": {"colorinterp": [ColorInterp.blue, ColorInterp.green, ColorInterp.red]},
    "names": {"descriptions": ("Blue", "Green", "Red")},
    "letters": {"descriptions": ("B", "G", "R")},
    "sentences": {"descriptions": ("Band 2 - blue", "Band 3 - green", "Band 4 - red")},
    "wavelengths": {
        "tags": [
            {"wavelength": "490", "wavelength_units": "Nanometers"},
            {"wavelength": "0.56", "wavelength_units": "Micrometers"},
            {"WAVELENGTH": "665", "WAVELENGTH_UNIT": "nm"},
        ],
        "photometric": "minisblack",
    },
    "sentinel": {
        "descriptions": tuple(
            f"{name}, central wavelength {wave} nm"
            for name, wave in (("B2", 490), ("B3", 560), ("B4", 665))
        )
    },
}


@pytest.mark.parametrize("how", FLAGS)
def test_bands_in_another_order_are_put_in_order(make, model, tmp_path, said, how):
    plain = make(RGB, "plain.tif", photometric="RGB")
    path = model(values_of(plain)[0])
    turned = make(RGB[::-1], "turned.tif", **FLAGS[how])
    assert predicted(turned, path, tmp_path, said[0]) == predicted(plain, path, tmp_path)
    assert "bands 3, 2, 1 are used in this order" in " ".join(said[1])


def test_a_model_takes_its_bands_out_of_more(make, model, tmp_path, said):
    names = ("B8", "B04", "Band 3", "b2")
    plain = make(REFLECTANCE, "plain.tif", descriptions=("B4", "B3", "B2"))
    path = model(values_of(plain)[0], mean=4000.0, std=3000.0)
    more = make(np.concatenate([REFLECTANCE[:1] // 2, REFLECTANCE]), "more.tif", descriptions=names)
    assert predicted(more, path, tmp_path, said[0]) == predicted(plain, path, tmp_path) != []
    assert "bands 2, 3, 4 are used" in " ".join(said[1])
    unnamed = make(np.concatenate([REFLECTANCE, REFLECTANCE[:1]]), "unnamed.tif")
    with pytest.raises(RasterError, match=r"expects 3 bands .*B4, B3, B2.* has 4 bands"):
        predicted(unnamed, path, tmp_path)


def test_bands_that_show_something_else_are_refused(make, model, tmp_path):
    path = model(values_of(make(RGB, "plain.tif", photometric="RGB"))[0])
    false_colour = make(RGB, "false.tif", descriptions=("NIR", "Red", "Green"))
    with pytest.raises(RasterError, match="No band of it is named blue"):
        predicted(false_colour, path, tmp_path)


def test_names_that_nobody_can_compare_are_told(make, model, tmp_path, said):
    path = model(values_of(make(RGB, "plain.tif", photometric="RGB"))[0])
    source = make(RGB, "named.tif", descriptions=("first", "second", "third"))
    predicted(source, path, tmp_path, said[0])
    assert "found first, second, third" in " ".join(said[1])
    said[1].clear()
    predicted(make(RGB, "unnamed.tif", photometric="minisblack"), path, tmp_path, said[0])
    assert "expected the bands" not in " ".join(said[1])


R, G, B, N = (named(name) for name in ("Red", "Green", "Blue", "NIR"))
UNNAMED = tuple(named(f"band {i}") for i in range(1, 5))
EDGES = tuple(named(f"B{i}", 0.001 * wave) for i, wave in ((5, 705), (6, 740), (7, 783)))


@pytest.mark.parametrize(
    ("wanted", "found", "chosen"),
    [
        ((R, G, B, N), (B, G, R, UNNAMED[3]), (2, 1, 0, 3)),
        ((R, G, B, N), (B, G, R, named("alpha")), (2, 1, 0, 3)),
        ((R, G, B, UNNAMED[3]), (N, B, G, R), (3, 2, 1, 0)),
        ((R, G, B), (named("nir"), named("rot"), named("B")), None),
        (UNNAMED, (B, G, R, N), (0, 1, 2, 3)),
        ((R, G, B, N), UNNAMED, (0, 1, 2, 3)),
        ((R, G, B), (R, R, B), None),
        (EDGES, tuple(replace(band, name="") for band in EDGES[::-1]), (2, 1, 0)),
        (EDGES[:2], EDGES[::-1], (2, 1)),
        ((named("red edge 1"), named("Red")), (named("red"), named("RedEdge1")), (1, 0)),
        ((named("near infrared"), R), (R, named("NIR band")), (1, 0)),
        ((named("x"), named("y")), (named("y"), named("z")), None),
        ((R, G, B), (R, G), None),
        ((R, G, B), tuple(map(named, ("B04", "B03", "B02"))), (0, 1, 2)),
        ((R, G, B), tuple(map(named, ("r", "G", "b"))), (0, 1, 2)),
        (tuple(map(named, ("VV", "VH"))), tuple(map(named, ("VH", "VV"))), (1, 0)),
        (tuple(map(named, ("SR_B2", "SR_B3"))), tuple(map(named, ("B03", "Band 2"))), (1, 0)),
        (
            tuple(map(named, ("Band 1 - red", "Band 2 - green", "Band 3 - blue"))),
            tuple(map(named, ("Band 1 - blue", "Band 2 - green", "Band 3 - red"))),
            (2, 1, 0),
        ),
    ],
)
def test_which_band_is_which(wanted, found, chosen):
    assert matching_bands(wanted, found) == chosen


@given(st.permutations(["Red", "Green", "Blue", "NIR", "SWIR 1", "SWIR 2", "Red edge"]))
def test_any_order_is_undone(order):
    names = ["red", "green", "blue", "nir", "swir_1", "swir_2", "RedEdge"]
    chosen = matching_bands([named(name) for name in names], [named(name) for name in order])
    assert [named(order[i]).key for i in chosen] == [named(name).key for name in names]


def test_training_puts_the_bands_of_all_rasters_in_one_order(make, make_layer, tmp_path, said):
    first = make(RGB, "first.tif", descriptions=("Red", "Green", "Blue"))
    second = make(RGB[::-1], "second.tif", descriptions=("Blue", "Green", "Red"))
    with open_rasters([first, second]) as rasters:
        both = with_expected_bands(rasters, rasters[0].kind, "Training", said[0])
        values = [each.read(each.grid.window).values for each in both]
    assert np.array_equal(*values)
    elsewhere = make_layer([geometry_of(1000, 1040)], ["a"])
    job = example_jobs.train_job(first, elsewhere, tmp_path, rasters=(first, second))
    with pytest.raises(VectorError, match=r"No polygon of 'layer' lies on first\.tif"):
        train.run(job, said[0])
    assert [text.startswith("second.tif: bands 3, 2, 1") for text in said[1]].count(True) == 2


def geometry_of(low, high):
    (west, north), (east, south) = NORTH_UP @ (low, low), NORTH_UP @ (high, high)
    return shapely.box(west, south, east, north)


@given(
    st.text(max_size=20),
    st.none() | st.floats(0.1, 20.0),
    st.floats(1e-6, 10.0),
    st.floats(-1000.0, 1000.0),
)
def test_a_card_keeps_what_is_known_of_bands(name, wavelength, scale, offset):
    band = replace(named(name, wavelength), scale=scale, offset=offset, stored="uint16")
    card = ModelCard(
        architecture="unet",
        encoder="resnet18",
        task="semantic",
        categories=(Category("a", "#00aa11"),),
        band_names=(name,),
        dtype="float32",
        resolution_m=None,
        mean=(0.0,),
        std=(1.0,),
        tile_size_px=64,
        thresholds=(0.5,),
        countable=(False,),
        band_info=(model_card.band_info(band),),
    )
    text = model_card.to_json(card)
    assert model_card.from_json(text).kind == RasterKind((band,), "float32")
    old = {key: value for key, value in json.loads(text).items() if key != "band_info"}
    assert model_card.from_json(json.dumps(old)).kind.bands[0].name == name


def chips_of(source, layer, folder):
    chips = str(folder / "chips")
    job = example_jobs.tile_job(
        source, folder / "tiles.gpkg", tile_size_px=48, annotations=layer, output_folder=chips
    )
    tile.run(job, Control())
    return sorted((folder / "chips").glob("*/images/*.tif"))


def test_chips_mean_the_same_in_every_program(make, make_layer, tmp_path):
    layer = make_layer([geometry_of(0, 40), geometry_of(50, 96)], ["a", "a"])
    for name, source, expected in (
        ("palette", with_palette(make), RGB),
        ("scaled", make(REFLECTANCE, scales=(0.01,) * 3), (REFLECTANCE * 0.01).astype("float32")),
        ("turned", make(RGB, "t.tif", descriptions=("Blue", "Green", "Red")), RGB),
    ):
        (tmp_path / name).mkdir()
        path = chips_of(source, layer, tmp_path / name)[0]
        with rasterio.open(path) as chip:  # as a program that knows neither palettes nor scales
            row, column = (int(part[1:]) * 48 for part in path.stem.split("_")[-2:])
            assert np.array_equal(chip.read(), expected[:, row : row + 48, column : column + 48])
        kinds = [values_of(each)[0] for each in (source, RasterSource(str(path), "", "chip"))]
        names = [[(band.name, band.colour) for band in kind.bands] for kind in kinds]
        assert names[0] == names[1]


def test_a_mosaic_of_two_palettes_is_one_picture(make, said):
    west = make(INDEX[None, :, :50], "west.tif", TABLE)
    order = RNG.permutation(60)
    permuted = np.empty_like(TABLE)
    permuted[order] = TABLE
    east = make(order[INDEX[None, :, 50:]].astype(np.uint8), "east.tif", permuted, moved=50)
    with open_rasters([west, east], said[0]) as rasters:
        mosaic = as_mosaic(with_expected_bands(rasters, rasters[0].kind, "Training", said[0]))
        assert np.array_equal(mosaic.read(mosaic.grid.window).values, RGB)


def test_a_scale_that_is_set_later_is_another_meaning(make, monkeypatch):
    """What is beside the raster is none of its files, but an interrupted run must not go on."""
    monkeypatch.delenv("GDAL_PAM_ENABLED", raising=False)  # which the tests inside QGIS switch off
    source = make(RGB)
    with Raster(source) as raster:
        before = raster.meaning_hash
    aux(source, "<Offset>-40</Offset>")
    with Raster(source) as raster:
        assert raster.meaning_hash != before
        assert raster.kind.dtype == "float32"


def aux(source, inside):
    text = f'<PAMDataset><PAMRasterBand band="1">{inside}</PAMRasterBand></PAMDataset>'
    Path(f"{source.path}.aux.xml").write_text(text)


def test_probabilities_are_their_stored_numbers(make, model, tmp_path):
    plain = make(RGB, "plain.tif", photometric="RGB")
    path = model(values_of(plain)[0])
    probabilities = str(tmp_path / "p.tif")
    found, again = tmp_path / "found.gpkg", tmp_path / "again.gpkg"
    predict.run(
        example_jobs.predict_job(
            plain, path, found, tile_size_px=96, output_probabilities=probabilities
        ),
        Control(),
    )
    source = RasterSource(probabilities, "", "p.tif")
    aux(source, "<Scale>0.00392156862745098</Scale>")  # as somebody may set it to see shares
    job = jobs.PolygonizeJob(source, None, 0.0, 0.0, "plain", str(again), None)
    polygonize.run(job, Control())
    shapes = [geopandas.read_file(each).sort_values("id").geometry for each in (found, again)]
    assert shapes[0].to_wkb().tolist() == shapes[1].to_wkb().tolist()
