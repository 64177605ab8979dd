"""What the engine says while it works: one JSON object a line.

The engine writes events to its original standard output; the QGIS side reads them. The first is
always `Hello`, and the last is a `Result` or an `Error`. Numbers that are not finite travel as
null, since JSON has no word for them.

CONTRACT: standard library only; runs on Python 3.9.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Optional, Union

from deepseg_qgis.errors import ContractError

CONTRACT_VERSION = 3
"""Raised whenever a job or an event changes its meaning."""


@dataclass(frozen=True)
class Hello:
    """The engine is there, and speaks this version of the contract."""

    contract: int
    engine: str
    python: str


@dataclass(frozen=True)
class Progress:
    """How far the work is: ``fraction`` from 0 to 1, and the time left in seconds if known."""

    fraction: float
    text: str = ""
    seconds_left: Optional[float] = None


@dataclass(frozen=True)
class Log:
    """A line for the algorithm's log; ``level`` is ``info`` or ``warning``."""

    text: str
    level: str = "info"


@dataclass(frozen=True)
class Epoch:
    """One finished epoch of training; ``validation_score`` is from 0 to 1.

    It is the mean of ``category_score``: panoptic quality where a category's objects are told
    apart, else IoU; None for categories that are not there. ``kept`` says whether the model stays
    as it is now, unless a later epoch takes its place. ``picture`` shows one place in the
    validation areas, the same in every epoch: a PNG file of at most 256 px a side, in base64 (at
    most 60,000 characters), with what the model finds as fills and what is annotated as outlines in
    the categories' colours; pale ground is not validated. ``seconds_left`` is the time until the
    training is done, None while it is unknown.
    """

    epoch: int
    epochs: int
    train_loss: float
    validation_loss: Optional[float]
    validation_score: Optional[float]
    category_score: dict[str, Optional[float]]
    category_iou: dict[str, Optional[float]]
    learning_rate: float
    seconds: float
    kept: bool
    picture: Optional[str] = None
    seconds_left: Optional[float] = None


@dataclass(frozen=True)
class Result:
    """The work is done (or, if ``partial``, as much of it as was done when Stop was pressed)."""

    values: dict[str, Any] = field(default_factory=dict)
    partial: bool = False


@dataclass(frozen=True)
class Error:
    """The work failed; ``kind`` names a class of `deepseg_qgis.errors`."""

    kind: str
    message: str
    details: str = ""


Event = Union[Hello, Progress, Log, Epoch, Result, Error]

_KINDS = {kind.__name__.lower(): kind for kind in (Hello, Progress, Log, Epoch, Result, Error)}


def encode(event: Event) -> str:
    """Return the event as one line of JSON, without the line's end."""
    content = {"event": type(event).__name__.lower(), **asdict(event)}
    return json.dumps(_finite(content), ensure_ascii=False, allow_nan=False)


def decode(line: str) -> Event:
    """Return the event that a line holds.

    Raises:
        ContractError: the line is no event of this version of the contract.
    """
    try:
        content = json.loads(line)
        kind = _KINDS[content.pop("event")]
        known = {entry.name for entry in fields(kind)}
        return kind(**{name: value for name, value in content.items() if name in known})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(
            f"Expected an event from the DeepSeg engine, got {line[:200]!r}. "
            "Run 'Set up the engine' again so that plugin and engine have the same version."
        ) from error


def _finite(value: Any) -> Any:
    """Return the value with every number that is not finite replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return value
