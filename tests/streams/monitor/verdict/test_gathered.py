"""Small blocks are folded together, and nothing shows it."""

import numpy as np
import pytest

from tidegauge.schemas.monitors import MonitorSpec, RetrainingSpec, WindowSpec
from tidegauge.streams.monitor.control.control import control
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.intake.columns import SCORE, Columns
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.windows.gathered import BYTES, FEW, Gathered

NAMES = ("a", SCORE)
MINUTE_MS = 60_000


def rows(start: int, stop: int, names: tuple[str, ...] = NAMES) -> Block:
    """Return rows of one minute each."""
    at = np.arange(start, stop)
    ids = Texts.of([str(n) for n in at.tolist()])
    numbers = np.stack([at + 0.5 * n for n in range(len(names))], axis=1)
    codes = np.empty((len(at), 0), np.int32)
    return Block(at, at * MINUTE_MS, ids, numbers, names, codes, (), ())


def monitor(windows: WindowSpec) -> InputMonitor:
    own = control("m", MonitorSpec(model="m", windows=windows), None)
    origin = Origin("m", "", "predictions", "predictions", 0, RetrainingSpec(), 0)
    return InputMonitor(origin, own, Columns(("a",), ()), 1.0)


@pytest.mark.parametrize("windows", [WindowSpec(rows=20), WindowSpec(every="1h")])
def test_small_blocks_wait_until_a_window_closes_or_somebody_asks(windows: WindowSpec) -> None:
    whole, parts = monitor(windows), monitor(windows)
    expected = whole.fold(rows(0, 150))
    found = [output for n in range(0, 150, 3) for output in parts.fold(rows(n, n + 3))]
    assert found == expected
    assert parts.gathered_rows.rows > 0
    assert parts.observed < 150
    assert parts.state() == whole.state()
    assert parts.observed == 150
    assert parts.gathered_rows.rows == 0


def test_rows_wait_for_no_others_where_their_columns_change() -> None:
    whole, parts = monitor(WindowSpec(rows=100)), monitor(WindowSpec(rows=100))
    for block in (rows(0, 40), rows(40, 80, (*NAMES, "b"))):
        whole.fold(block)
        whole.settle()
        for at in range(0, len(block), 4):
            parts.fold(block.cut(at, at + 4))
    assert parts.state() == whole.state()


def test_gathered_rows_are_copies_in_bounded_memory() -> None:
    gathered, block = Gathered(), rows(0, FEW)
    taken = 0
    while gathered.take(block):
        taken += len(block)
    block.numbers[:] = -1.0
    found = gathered.block
    assert found is not None
    assert len(found) == taken > 10 * FEW
    assert (found.numbers >= 0).all()
    assert found.numbers.nbytes + found.offsets.nbytes + found.ts_ms.nbytes <= BYTES
    assert not len(found.ids)


def test_a_block_as_large_as_a_fold_is_worth_is_not_copied() -> None:
    assert not Gathered().take(rows(0, FEW + 1))
