"""The page that tells how good a prediction is, to somebody who maps and does not train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepseg_qgis.engine.reports.confusion_table import confusion_table
from deepseg_qgis.engine.reports.error_overlay import ERROR_LEGEND
from deepseg_qgis.engine.reports.evaluation_glossary import GLOSSARY, KINDS
from deepseg_qgis.engine.reports.markup import Cell, bar, category_label, change
from deepseg_qgis.engine.reports.page import Page, Rgb
from deepseg_qgis.engine.scoring.scores import Evaluation
from deepseg_qgis.errors import listed

UNITS = {"px": "px", "m2": "m²", "units2": "square units"}
"""What an evaluation's unit of areas is called."""


def write(
    path: str,
    evaluation: Evaluation,
    pictures: Sequence[tuple[str, bytes | Rgb]],
    notes: Sequence[str],
    about: Mapping[str, Cell],
) -> None:
    """Write the report of an evaluation.

    ``evaluation`` is that of `scoring.scores`; a ``trained_share`` in it (0 to 1) is
    shown. ``pictures`` are (caption, PNG bytes or an RGB array), ``notes`` what the reader should
    not overlook, ``about`` the facts at the top (model, rasters, AOI).

    Raises:
        OutputError: the file cannot be written.
    """
    page = Page("How good is the prediction?", "Predicted objects and areas against the reference.")
    share = evaluation.get("trained_share")
    trained = {} if share is None else {"Trained on": f"{100 * share:.1f} % of this area"}
    page.facts({**about, **trained})
    page.notes(notes)
    page.headlines(_headlines(evaluation))
    _errors(page, evaluation)
    _objects(page, evaluation)
    _sizes(page, evaluation)
    _areas(page, evaluation)
    _panoptic(page, evaluation)
    _confusion(page, evaluation)
    _pictures(page, pictures)
    page.heading("The words")
    page.glossary(GLOSSARY)
    page.write(path)


def _headlines(scores: Evaluation) -> list[tuple[str, Cell, str]]:
    """Return the main numbers, each with one sentence that says what it means."""
    return [*_object_headlines(scores), *_ground_headlines(scores), *_ranking_headlines(scores)]


def _object_headlines(scores: Evaluation) -> list[tuple[str, Cell, str]]:
    precision, recall = scores["precision"], scores["recall"]
    right = _of_hundred(precision, "predicted objects", "are right")
    found = _of_hundred(recall, "objects in the reference", "were found")
    return [
        ("Count error", change(scores["count_error"]), _counted(scores)),
        (
            "Precision of objects",
            precision,
            right or "Nothing was predicted here that is counted.",
        ),
        (
            "Recall of objects",
            recall,
            found or "The reference has nothing here that is counted.",
        ),
        (
            "F1 of objects",
            scores["f1"],
            "Precision and recall in one number: 1 means that nothing was missed and nothing "
            "invented. An object is right from an overlap (IoU) of "
            f"{scores['iou_threshold']:.2f}.",
        ),
    ]


def _ground_headlines(scores: Evaluation) -> list[tuple[str, Cell, str]]:
    shared = _of_hundred(
        scores["mean_iou"],
        f"{_pieces(scores)} that the prediction or the reference gives to a category",
        "are given to it by both (mean over the categories)",
    )
    return [
        ("Mean IoU of areas", scores["mean_iou"], shared or "No category occurs here."),
        (
            "Panoptic quality (PQ)",
            scores["pq"],
            "How well everything was found (RQ) and how accurately it was outlined (SQ), in one "
            "number: 1 means that every outline is exact (mean over the categories).",
        ),
    ]


def _ranking_headlines(scores: Evaluation) -> list[tuple[str, Cell, str]]:
    return [
        (
            "AP50",
            scores["ap50"],
            "Do the right objects have the higher scores? 1 if all were found before the first "
            "false alarm; right is an overlap (IoU) of 0.50.",
        ),
        (
            "mAP",
            scores["map"],
            "The same, averaged over ever stricter overlaps (0.50 to 0.95): only accurate outlines "
            "reach a high value.",
        ),
    ]


def _counted(scores: Evaluation) -> str:
    """Return how many objects there are and were predicted, as a sentence."""
    there, said = scores["reference_count"], scores["predicted_count"]
    known = f"{there:,} {'object' if there == 1 else 'objects'} in the reference"
    return (
        f"{known}, {said:,} predicted. What was missed and what was invented may even out, so look "
        "at F1 too."
    )


def _of_hundred(share: float | None, what: str, outcome: str) -> str:
    """Return a share as a sentence, or nothing where there is none."""
    if share is None:
        return ""
    count = f"about {100 * share:.0f}"
    if share in (0.0, 1.0):
        count = "all" if share else "none"
    elif not 0.5 <= 100 * share <= 99.5:
        count = "nearly all" if share > 0.5 else "hardly any"
    return f"Of every 100 {what}, {count} {outcome}."


def _pieces(scores: Evaluation) -> str:
    """Return what ground is counted in."""
    return "pixels" if scores["unit"] == "px" else "parts of the ground"


def _errors(page: Page, scores: Evaluation) -> None:
    """Append how many objects are of each kind, where these are known."""
    if "errors" not in scores:
        return
    page.heading("What is wrong with the objects")
    page.text("The layer of errors has each of these objects, the worst first.", quiet=True)
    sides = scores["errors"]["predictions"], scores["errors"]["reference"]
    page.table(
        ["Kind", "Predictions", "Reference", "What it means"],
        [[kind, *(side[kind] for side in sides), meaning] for kind, meaning in KINDS.items()],
    )


def _size_names(scores: Evaluation) -> list[str]:
    """Return the columns of objects by size; sizes in pixels have sides, others areas."""
    least, most = scores["sizes"]["medium"]
    if scores["unit"] == "px":
        return [
            f"Small (up to {least**0.5:.0f} × {least**0.5:.0f} px)",
            "Medium",
            f"Large (from {most**0.5:.0f} × {most**0.5:.0f} px)",
        ]
    unit = UNITS[scores["unit"]]
    return [f"Small (up to {least:,.3g} {unit})", "Medium", f"Large (from {most:,.3g} {unit})"]


def _objects(page: Page, scores: Evaluation) -> None:
    page.heading("Objects, by category")
    page.text(
        "Right means: the overlap (IoU) with an object of the same category in the reference is at "
        f"least {scores['iou_threshold']:.2f}. In the last row, AP and AP50 are means over those "
        f"of the categories that the reference has.{_not_counted(scores)}",
        quiet=True,
    )
    head = "Category|In the reference|Predicted|Count error|Right|False alarms|Missed|Precision"
    page.table(
        [*head.split("|"), "Recall", "F1", "AP50", "AP"],
        [
            [_name(entry), *_outcome(entry), bar(entry["ap50"]), bar(entry["ap"])]
            for entry in _counted_ones(scores)
        ],
        ["All together", *_outcome(scores), bar(scores["ap50"]), bar(scores["map"])],
    )


def _counted_ones(scores: Evaluation) -> list[Mapping[str, Any]]:
    return [entry for entry in scores["categories"] if entry["countable"]]


def _not_counted(scores: Evaluation) -> str:
    """Return which categories are left out where objects are compared, as a sentence."""
    others = [entry["name"] for entry in scores["categories"] if not entry["countable"]]
    return f" Not here, since the model does not count them: {listed(others)}." if others else ""


def _outcome(entry: Mapping[str, Any]) -> list[Cell]:
    shares = ("precision", "recall", "f1")
    return [
        entry["reference_count"],
        entry["predicted_count"],
        change(entry["count_error"]),
        *(entry[name] for name in ("tp", "fp", "fn")),
        *(bar(entry[name]) for name in shares),
    ]


def _sizes(page: Page, scores: Evaluation) -> None:
    page.heading("Objects, by size")
    page.text(
        "AP of the objects of one size alone, by their area in the reference: are small ones found "
        "as well as large ones? A dash means that the reference has none.",
        quiet=True,
    )
    sizes = ("ap_small", "ap_medium", "ap_large")
    page.table(
        ["Category", *_size_names(scores)],
        [[_name(entry), *(bar(entry[size]) for size in sizes)] for entry in _counted_ones(scores)],
        ["Mean", *(bar(scores[size]) for size in sizes)],
    )


def _panoptic(page: Page, scores: Evaluation) -> None:
    page.heading("Found and outlined, by category")
    page.text(
        "Panoptic quality (PQ) is the product of two: how accurately the right ones are outlined "
        "(SQ), and how well the right ones were found (RQ). Right is an overlap (IoU) above 0.50.",
        quiet=True,
    )
    names = ("pq", "sq", "rq")
    kinds = {True: "objects", False: "one area a raster"}
    page.table(
        ["Category", "Compared as", "PQ", "SQ", "RQ"],
        [
            [_name(entry), kinds[entry["countable"]], *(bar(entry[name]) for name in names)]
            for entry in scores["categories"]
        ],
        ["Mean", "", *(bar(scores[name]) for name in names)],
    )
    things, stuff = scores["pq_things"], scores["pq_stuff"]
    if things is not None and stuff is not None:
        page.text(
            f"The mean PQ of categories compared as objects is {things:.2f}, that of the others "
            f"{stuff:.2f}."
        )


def _areas(page: Page, scores: Evaluation) -> None:
    page.heading("Areas, by category")
    how = (
        "Compared pixel by pixel, without asking which object a pixel belongs to."
        if scores["unit"] == "px"
        else "The ground that all polygons of a category cover together. Where polygons of a layer "
        "overlap, the smaller lies on top."
    )
    page.text(how, quiet=True)
    unit = UNITS[scores["unit"]]
    shares = ("pixel_precision", "pixel_recall", "dice", "iou")
    used = any(entry["threshold"] is not None for entry in scores["categories"])
    page.table(
        ["Category", f"Reference ({unit})", f"Predicted ({unit})"]
        + ["Precision", "Recall", "Dice", "IoU"]
        + ["Threshold"] * used,
        [
            [_name(entry)]
            + [entry[f"{side}_{scores['unit']}"] for side in ("reference", "predicted")]
            + [bar(entry[name]) for name in shares]
            + [entry["threshold"]] * used
            for entry in scores["categories"]
        ],
    )
    right = _of_hundred(
        scores["pixel_accuracy"], f"{_pieces(scores)} (background included)", "are right"
    )
    page.text(right or "No pixel was compared.")


def _name(entry: Mapping[str, Any]) -> Cell:
    return category_label(entry["name"], entry["colour"])


def _confusion(page: Page, scores: Evaluation) -> None:
    page.heading("What is taken for what")
    page.text(
        "Each row is what the ground is by the reference; its cells say what percentage of it "
        "was predicted as each category. Blue is right, orange is wrong; empty is none.",
        quiet=True,
    )
    confusion = scores["confusion"]
    page.add(confusion_table(confusion["labels"], confusion["matrix"], UNITS[scores["unit"]]))


def _pictures(page: Page, pictures: Sequence[tuple[str, bytes | Rgb]]) -> None:
    if not pictures:
        return
    page.heading("Where it is right and wrong")
    page.legend(ERROR_LEGEND)
    for caption, picture in pictures:
        page.picture(picture, caption)
