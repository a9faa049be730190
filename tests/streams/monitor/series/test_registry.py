"""The registry alone knows how the name of a series is made and read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegauge.streams.monitor.series.registry import SERIES, parse

ROOT = Path(__file__).parents[4]
KNOW = {"base.py", "registry.py"}  # of streams/monitor/series
NAMES = tuple(f"{statistic}(" for statistic in SERIES)


def told(source: str) -> Iterator[str]:
    """Yield the texts in a source that take part in making or reading a series' name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value == "(" or node.value.startswith(NAMES):
                yield node.value


def test_nothing_else_makes_or_reads_the_name_of_a_series() -> None:
    series = ROOT / "streams" / "monitor" / "series"
    paths = [
        path for top in ("schemas", "detectors", "streams") for path in (ROOT / top).rglob("*.py")
    ]
    known = {series / name for name in KNOW}
    assert known <= {*paths}
    found = {str(path.relative_to(ROOT)): [*told(path.read_text())] for path in paths}
    assert {
        path: texts for path, texts in found.items() if texts and ROOT / path not in known
    } == {}


@pytest.mark.parametrize(
    "source",
    ['name.partition("(")', 'f"rank({x})"', 'name[len("missing("):-1]', 'x == "rank(score)"'],
)
def test_what_would_is_found(source: str) -> None:
    assert [*told(source)] != []


@pytest.mark.parametrize("name", ["", "rank", "rank()", "rank(x", "loss(x)", "brand_new(x)", "(x)"])
def test_what_is_no_name_is_read_as_none(name: str) -> None:
    assert parse(name) is None
