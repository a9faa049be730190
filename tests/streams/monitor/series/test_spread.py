"""The series that CONTRIBUTING.md adds: as its page shows it, in one file and a line."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.streams.monitor.series.contract import CHECKS, registered
from tests.streams.monitor.traffic import REFERENCE, Rows, traffic
from tests.test_docs import blocks
from tidegauge.streams.monitor.series.base import Series


@pytest.fixture(scope="module")
def spread() -> Series:
    """Return the series of the page."""
    names: dict[str, Any] = {"__name__": "spread"}
    (page,) = [b.text for b in blocks() if "class Spread(Series)" in b.text]
    exec(compile(page, "CONTRIBUTING.md", "exec"), names)
    series: Series = names["Spread"]()
    return series


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract(spread: Series, check: Callable[[Series], None]) -> None:
    with registered(spread):
        check(spread)


def variance_doubled(rows: Rows, rng: np.random.Generator) -> None:
    """Double the variance of a number and leave its median."""
    rows.amount = 50 + (rows.amount - 50) * 2**0.5


def test_a_number_whose_variance_doubles_around_the_same_median_is_told(spread: Series) -> None:
    with registered(spread):
        stream = traffic(1).send(REFERENCE + 20)
        assert stream.alerts() == []
        stream.send(30, variance_doubled)
        (alert,) = [alert for alert in stream.alerts() if alert["revision"] == 1]
        stream.send(40)
    (told,) = alert["series"]
    assert (told["series"], told["direction"], alert["kind"]) == ("spread(amount)", "up", "drift")
    assert "amount lies farther apart, 0.3" in alert["title"]
    assert alert["advice"].startswith("Look for what has changed amount since ")
    over = stream.alerts()[-1]
    assert over["status"] == "resolved"
    assert "m: spread of amount back within tolerance" in over["title"]


def test_no_other_series_tells_it() -> None:
    assert traffic(1).send(REFERENCE + 20).send(30, variance_doubled).alerts() == []
