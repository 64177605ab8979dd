"""Trainings side by side: what their cards and scores say, and nothing believed of strangers."""

import csv
import json
import os
import struct
from dataclasses import replace

import pyogrio
import pytest
from html_reader import HOSTILE, Reader

from deepseg_qgis import jobs
from deepseg_qgis.engine.control import Control
from deepseg_qgis.engine.experiments.ranking import best_run
from deepseg_qgis.engine.experiments.run_table import run_table
from deepseg_qgis.engine.experiments.runs import read_runs
from deepseg_qgis.engine.legend.legend import Category
from deepseg_qgis.engine.models.model_card import ModelCard, to_json
from deepseg_qgis.engine.verbs import compareruns
from deepseg_qgis.errors import OutputError, ParameterError

CARD = ModelCard(
    architecture="unet",
    encoder="resnet18",
    task="semantic",
    categories=(Category("house", "#d55e00"), Category("tree", "#009e73")),
    band_names=("red", "green", "blue"),
    dtype="uint8",
    resolution_m=0.25,
    mean=(100.0, 100.0, 100.0),
    std=(5.0, 5.0, 5.0),
    tile_size_px=64,
    thresholds=(0.5, 0.5),
    countable=(False, False),
    validation_score=0.5,
    validation_iou=(0.6, 0.4),
    training={"epochs": 3, "learning_rate": 1e-3, "seed": 1, "patience": None},
    history=tuple(
        {
            "epoch": number,
            "train_loss": 1.0 / number,
            "validation_score": 0.1 * number,
            "seconds": 30.0,
            "kept": number == 3,
        }
        for number in (1, 2, 3)
    ),
)
SCORES = {
    "f1": 0.4,
    "precision": 0.5,
    "recall": 0.3,
    "count_error": -0.1,
    "map": None,
    "ap50": 0.2,
    "mean_iou": 0.6,
    "pq": 0.3,
    "confusion": {},
    "rasters": ["test.tif"],
    "aoi_px": 1000,
    "validation_score": 0.5,
}


def write_model(path, card=CARD, card_text=None):
    """Write a model file with a card and no weights."""
    text = to_json(card) if card_text is None else card_text
    header = json.dumps({"__metadata__": {"deepseg": text}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def write_scores(path, model, modified=None, **changes):
    """Write scores as `evaluate` does."""
    path.write_text(json.dumps({**SCORES, "model": model, **changes}), encoding="utf-8")
    if modified:
        os.utime(path, (modified, modified))


def compare(folder, **changes):
    job = jobs.CompareRunsJob(str(folder), str(folder / "c.gpkg"), str(folder / "c.html"))
    return compareruns.run(replace(job, **changes), Control())


@pytest.fixture
def three(tmp_path):
    """Three models, of which 'b' has another rate and 'c' lies in a folder of its own."""
    write_model(tmp_path / "a.safetensors")
    settings = {**CARD.training, "learning_rate": 0.01}
    better = replace(CARD, validation_score=0.75, training=settings)
    write_model(tmp_path / "b.safetensors", better)
    write_model(tmp_path / "sub" / "c.safetensors", replace(CARD, encoder="resnet34"))
    return tmp_path


def columns_of(folder):
    return {each.name: each for each in run_table(read_runs(str(folder), Control()))}


def test_the_table_has_a_row_for_each_model(three):
    assert compare(three)["count"] == 3
    table = pyogrio.read_dataframe(three / "c.gpkg").set_index("model")
    assert list(table.index) == [
        "a.safetensors",
        "b.safetensors",
        os.path.join("sub", "c.safetensors"),
    ]
    assert list(table["learning_rate"]) == [1e-3, 1e-2, 1e-3]
    assert list(table["encoder"]) == ["resnet18", "resnet18", "resnet34"]
    assert list(table["validation_score"]) == [0.5, 0.75, 0.5]
    assert table.loc["a.safetensors", ["iou house", "iou tree"]].tolist() == [0.6, 0.4]
    assert list(table["epochs_run"]) == [3, 3, 3]
    assert table["minutes"].tolist() == pytest.approx([1.5] * 3)
    assert not table["problem"].fillna("").any()


def test_csv_says_which_columns_are_numbers(three):
    compare(three, output=str(three / "c.csv"), output_html=None)
    with open(three / "c.csv", encoding="utf-8") as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["1"] * 3
    kinds = pyogrio.read_dataframe(three / "c.csv").dtypes
    assert kinds["epochs"] == "int64"
    assert kinds["learning_rate"] == "float64"


def test_the_page_shows_what_differs_and_the_curves(three):
    (three / "a.html").write_text("report of a")
    (three / "ab.html").write_text("of no model but a, since there is no model ab")
    compare(three)
    page = Reader((three / "c.html").read_text(encoding="utf-8"))
    assert "0.75 b (validation score) Best of 3 models" in page.text
    models, shared = page.text.split("The same in all models")
    assert "Learning rate Encoder" in models or "Encoder Learning rate" in models
    assert "Seed" not in models
    assert "Seed 1" in shared
    assert len(page.of("img")) == 3
    assert {each["href"] for each in page.of("a")} == {"./a.html", "./ab.html"}
    tinted = [each for each in page.of("span") if each.get("class") == "differs"]
    assert len(tinted) == 3, "the rate of two models and the encoder of one differ from the best"


def test_broken_and_foreign_files_are_listed_with_the_reason(three):
    (three / "empty.safetensors").touch()
    (three / "text.safetensors").write_text("hello, I am no model at all")
    write_model(three / "card.safetensors", card_text='{"format_version": 1}')
    (three / "gone.safetensors").symlink_to(three / "nowhere")
    (three / "scores.json").write_text("[1, 2")
    (three / "other.json").write_text('{"model": 3}')
    assert compare(three)["count"] == 3
    table = pyogrio.read_dataframe(three / "c.gpkg").set_index("model")
    problems = table["problem"][table["encoder"].isna()]
    assert sorted(problems.index) == [f"{n}.safetensors" for n in ("card", "empty", "gone", "text")]
    assert all(problems.str.len() > 10)
    page = Reader((three / "c.html").read_text(encoding="utf-8"))
    assert "4 files cannot be used as a model" in page.text
    assert "gone.safetensors" in page.text


def test_a_folder_of_broken_models_alone_still_gives_a_page(tmp_path):
    (tmp_path / "empty.safetensors").touch()
    assert compare(tmp_path)["count"] == 0
    assert "empty.safetensors" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_values_of_strangers_stay_values(tmp_path):
    history = ({"epoch": "x"}, {"epoch": 1, "train_loss": [], "seconds": True}, {})
    training = {HOSTILE: 1, "fid": 7, "seed": 10**400, "rate": [1, "a"], "Model": 1, "date": {}}
    names = (Category(HOSTILE, "#d55e00"), Category("Tree", "#d55e00"), Category("tree", "#009e73"))
    changes = {"thresholds": (0.5,) * 3, "countable": (False,) * 3, "validation_iou": (0.1,)}
    card = replace(CARD, categories=names, history=history, training=training, **changes)
    write_model(tmp_path / "<b>=1&.safetensors", card)
    compare(tmp_path, output=str(tmp_path / "c.gpkg"))
    page = Reader((tmp_path / "c.html").read_text(encoding="utf-8"))
    assert page.of("script") == []
    table = pyogrio.read_dataframe(tmp_path / "c.gpkg")
    assert list(table["rate"]) == ["1, a"]
    assert len(table) == 1


def test_test_scores_come_from_the_newest_evaluation_of_this_very_model(three):
    write_scores(three / "old.json", "b.safetensors", 1e9, validation_score=0.75, f1=0.1)
    write_scores(three / "new.json", "b.safetensors", 2e9, validation_score=0.75, f1=0.2)
    write_scores(three / "of_an_older_b.json", "b.safetensors", 3e9, validation_score=0.74, f1=0.9)
    write_scores(three / "c.json", "c.safetensors", f1=0.3)
    columns = columns_of(three)
    assert columns["test_f1"].values == [None, 0.2, 0.3]
    assert columns["evaluation"].values == [None, "new.json", "c.json"]


def test_test_scores_decide_which_is_best_where_two_have_them(three):
    write_scores(three / "b.json", "b.safetensors", validation_score=0.75, f1=0.2)
    best = best_run(read_runs(str(three), Control()))
    assert (best.run.name, best.measure) == ("b.safetensors", "validation score")
    write_scores(three / "c.json", "c.safetensors", f1=0.3)
    best = best_run(read_runs(str(three), Control()))
    assert (best.run.name, best.measure) == (os.path.join("sub", "c.safetensors"), "test F1")
    assert best.score == 0.3


def test_scores_on_other_ground_are_not_ranked_but_said(three):
    elsewhere = replace(CARD, validation_score=0.99, validation_footprint=({"raster": "o.tif"},))
    write_model(three / "d.safetensors", elsewhere)
    compare(three)
    page = Reader((three / "c.html").read_text(encoding="utf-8"))
    assert "0.75 b (validation score)" in page.text
    assert "not all models were validated on the same ground" in page.text.lower()


def test_a_history_with_gaps_has_no_minutes(tmp_path):
    write_model(tmp_path / "a.safetensors", replace(CARD, history=CARD.history[1:]))
    (run,) = read_runs(str(tmp_path), Control())
    assert run.minutes is None
    assert columns_of(tmp_path)["epochs_run"].values == [3]


def test_times_come_from_the_log_of_this_very_training(tmp_path):
    history = [{k: v for k, v in each.items() if k != "seconds"} for each in CARD.history]
    write_model(tmp_path / "a.safetensors", replace(CARD, history=tuple(history)))
    (tmp_path / "other.csv").write_text("epoch,train_loss,validation_score,seconds\n1,1.0,,9\n")
    (tmp_path / "broken.csv").write_text("epoch,train_loss,validation_score,seconds\n1,x\n")
    assert columns_of(tmp_path)["minutes"].values == [None]
    with open(tmp_path / "mine.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [*history[0], "seconds"])
        writer.writeheader()
        writer.writerows({**each, "seconds": 60.0} for each in history)
    assert columns_of(tmp_path)["minutes"].values == [3.0]


def test_many_models_take_no_time_for_their_weights(tmp_path):
    write_model(tmp_path / "large.safetensors")
    with open(tmp_path / "large.safetensors", "r+b") as file:
        file.truncate(40 * 2**30)  # a sparse file, of which nobody reads 40 GB
    (run,) = read_runs(str(tmp_path), Control())
    assert run.card == CARD


def test_a_folder_without_models_says_so(tmp_path):
    with pytest.raises(ParameterError, match="holds no model"):
        compare(tmp_path)
    with pytest.raises(ParameterError, match="is not there"):
        compare(tmp_path / "nowhere", output=str(tmp_path / "c.csv"), output_html=None)
    assert not list(tmp_path.iterdir())


def test_no_output_replaces_a_model_or_scores(three):
    write_scores(three / "b.json", "b.safetensors", validation_score=0.75)
    for name in ("a.safetensors", "b.json", "sub/c.safetensors"):
        with pytest.raises(OutputError, match="that this run reads"):
            compare(three, output_html=str(three / name))
    compare(three)
    compare(three)  # its own outputs are replaced


def test_many_categories_do_without_columns_of_their_own(tmp_path):
    names = tuple(Category(f"c{number}", "#d55e00") for number in range(60))
    card = replace(CARD, categories=names, thresholds=(0.5,) * 60, validation_iou=(0.5,) * 60)
    write_model(tmp_path / "a.safetensors", card)
    assert not [name for name in columns_of(tmp_path) if name.startswith("iou")]
