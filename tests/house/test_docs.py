"""The documentation names modules that are there, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMED = re.compile(r"`([\w./-]*\w\.(?:py|toml|sh))`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
OF_OLD = {"CHANGELOG.md"}
"""Tells what was, too."""


def files() -> list[str]:
    """Return the project's files, from its root, with a slash in front."""
    places = ("deepseg_qgis", "processing", "scripts", "benchmarks", "tests")
    found = [path for place in places for path in (ROOT / place).rglob("*.*")]
    return [f"/{path.relative_to(ROOT).as_posix()}" for path in [*found, *ROOT.glob("*.*")]]


FILES = files()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in OF_OLD], ids=lambda page: page.name
)
def test_modules_that_are_named_are_there(page: Path) -> None:
    named = sorted(set(NAMED.findall(page.read_text(encoding="utf-8"))))
    assert [name for name in named if not any(f.endswith(f"/{name}") for f in FILES)] == []


def test_the_readme_lists_every_algorithm() -> None:
    modules = sorted((ROOT / "processing" / "algorithms").glob("*.py"))
    source = "".join(each.read_text(encoding="utf-8") for each in modules)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\| `deepseg:(\w+)` \|", readme, re.MULTILINE)
    assert sorted(rows) == sorted(re.findall(r'^    ID = "(\w+)"', source, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
