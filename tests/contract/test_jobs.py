"""Jobs survive the way to the engine, and nothing else passes for one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseg_qgis import jobs
from deepseg_qgis.errors import ContractError
from tests.contract.strategies import any_of

VERBS = Path(__file__).resolve().parents[2] / "deepseg_qgis" / "engine" / "verbs"
KINDS = get_args(jobs.Job)
ANY_JOB = st.one_of(*map(any_of, KINDS))
AREA = jobs.VectorSource("/t/aoi.gpkg", "polygons", "Gebiet", "", None, {"Straße": "#ff0000"})
EXAMPLE = jobs.PredictJob(
    rasters=(jobs.RasterSource("/bilder/größe 1.tif", "PROJCRS[...]", "größe 1.tif"),),
    model="/t/m.safetensors",
    aoi=AREA,
    extent=jobs.Extent(1.5, 2.0, 3.25, 4.0, ""),
    mosaic=False,
    threshold=None,
    tile_size_px=512,
    overlap_px=None,
    min_area=0.0,
    simplify_px=0.0,
    outlines="plain",
    precision="float32",
    batch_size=None,
    device="auto",
    resume=True,
    output="/t/p.geojson",
    output_classes="/t/c.tif",
    output_probabilities=None,
    output_coco=None,
    output_statistics=None,
)


@given(ANY_JOB)
def test_a_job_comes_out_as_it_went_in(job: jobs.Job) -> None:
    assert jobs.decode(jobs.encode(job)) == job


@given(ANY_JOB)
def test_a_job_is_plain_json_of_this_contract(job: jobs.Job) -> None:
    content = json.loads(jobs.encode(job))
    assert content["verb"] == job.verb
    assert set(content) == {each.name for each in fields(job)} | {"contract", "verb"}


def test_every_verb_has_one_job() -> None:
    assert len({kind.verb for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("verb", [kind.verb for kind in KINDS])
def test_the_engine_finds_every_verb_by_its_name(verb: str) -> None:
    assert (VERBS / f"{verb}.py").is_file()


def test_not_a_number_never_travels() -> None:
    job = jobs.PredictJob(**{**EXAMPLE.__dict__, "min_area": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        jobs.encode(job)


@pytest.mark.parametrize("name", [each.name for each in fields(EXAMPLE)])
def test_a_missing_field_is_refused(name: str) -> None:
    content = json.loads(jobs.encode(EXAMPLE))
    del content[name]
    with pytest.raises(ContractError, match="missing or unknown"):
        jobs.decode(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("output", 3, "job.output: expected str, got 3"),
        ("output", None, "job.output: expected str, got None"),
        ("min_area", "0", "job.min_area: expected float, got '0'"),
        ("min_area", True, "job.min_area: expected float, got True"),
        ("tile_size_px", 512.5, "job.tile_size_px: expected int, got 512.5"),
        ("rasters", {}, "job.rasters: expected list, got {}"),
        ("rasters", [{"path": "/a.tif"}], "job.rasters: fields ['crs_wkt', 'name'] missing"),
        ("extent", [1, 2, 3, 4], "job.extent: expected dict, got [1, 2, 3, 4]"),
        ("surprise", 1, "job: fields ['surprise'] missing or unknown"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(name: str, value: object, message: str) -> None:
    content = {**json.loads(jobs.encode(EXAMPLE)), name: value}
    with pytest.raises(ContractError, match=re.escape(message)):
        jobs.decode(json.dumps(content))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"contract": 1}', "\x00", '"train"'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match=r"Expected a DeepSeg job|Install one version"):
        jobs.decode(text)


def test_another_version_says_what_to_do() -> None:
    content = {**json.loads(jobs.encode(EXAMPLE)), "contract": 999}
    with pytest.raises(ContractError, match=r"version 999.*Install one version"):
        jobs.decode(json.dumps(content))


def test_whole_numbers_stand_for_real_ones() -> None:
    content = {**json.loads(jobs.encode(EXAMPLE)), "min_area": 3}
    job = jobs.decode(json.dumps(content))
    assert isinstance(job, jobs.PredictJob)
    assert isinstance(job.min_area, float)


def test_python39_reads_and_writes_the_same(in_python39: Callable[..., str]) -> None:
    program = (
        "from deepseg_qgis import jobs\nprint(ascii(jobs.encode(jobs.decode(sys.argv[1]))), end='')"
    )
    answer = in_python39(program, jobs.encode(EXAMPLE))
    assert jobs.decode(eval(answer)) == EXAMPLE
