"""What is in force, as people are shown it."""

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tidegauge.streams.cli.monitors import tables
from tidegauge.streams.monitor.effective import Effective
from tidegauge.streams.monitor.verdict.cohort import SeriesPart

PART = SeriesPart(false_alarms=0.1, threshold=7.0, worth=90.0, gate=0.5, decider="mixture")


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({}, ["0.1", "7", "0.5", "90", "mixture", "reference"]),
        ({"level_ms": 0}, ["90", "mixture", "level since 1 Jan 1970"]),
        ({"worth": None, "is_declared": True}, ["0.5", "mixture", "no reference: it is declared"]),
    ],
)
def test_a_series_says_with_what_it_is_compared(part: dict[str, Any], told: list[str]) -> None:
    own = msgspec.structs.replace(PART, **part)
    one = Effective(
        model="fraud", version="", source="predictions", partition=0, settings={}, series={"x": own}
    )
    out = io.StringIO()
    for table in tables(one):
        Console(file=out, width=200).print(table)
    shown = " ".join(out.getvalue().splitlines()[-2].split())
    assert shown.endswith(" ".join(told))
