"""The series that CONTRIBUTING.md adds: as its page shows it, in one file and a line."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.streams.monitor.series.contract import CHECKS, registered
from tests.streams.monitor.traffic import REFERENCE, Rows, share, traffic
from tests.test_docs import blocks
from tidegauge.streams.monitor.series.base import Series


@pytest.fixture(scope="module")
def zero() -> Series:
    """Return the series of the page."""
    names: dict[str, Any] = {"__name__": "zero"}
    (page,) = [b.text for b in blocks() if "class Zero(Share)" in b.text]
    exec(compile(page, "CONTRIBUTING.md", "exec"), names)
    series: Series = names["Zero"]()
    return series


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_the_contract(zero: Series, check: Callable[[Series], None]) -> None:
    with registered(zero):
        check(zero)


def centred(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number lie around 0, where it is hardly ever exactly that."""
    rows.amount = rows.amount - 50


def filled_with_zeros(rows: Rows, rng: np.random.Generator) -> None:
    """Let 0 stand for some of the values."""
    rows.amount[share(rng, 0.06)] = 0


def test_a_number_that_is_filled_with_zeros_is_told(zero: Series) -> None:
    with registered(zero):
        stream = traffic(1).send(REFERENCE + 20, centred)
        assert stream.alerts() == []
        stream.send(30, centred, filled_with_zeros)
        (alert,) = stream.alerts()
    (told,) = alert["series"]
    assert (told["series"], told["direction"], alert["kind"]) == ("zero(amount)", "up", "quality")
    assert "% of amount is exactly 0 (reference 0.0" in alert["title"]
    assert alert["advice"].startswith(
        "Check whether 0 stands for a value that is missing in amount"
    )


def test_no_other_series_tells_it() -> None:
    stream = traffic(1).send(REFERENCE + 20, centred).send(30, centred, filled_with_zeros)
    assert stream.alerts() == []
