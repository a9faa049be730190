"""Windows of rows and of event time, wherever their rows are cut."""

from itertools import pairwise
from types import MappingProxyType

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.oracles import windows as oracle
from tidegauge.schemas.monitors import MonitorSpec, RetrainingSpec, WindowSpec
from tidegauge.streams.monitor.intake.block import NO_IDS, Block
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.verdict.cohort import Examples
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.monitor import Monitor
from tidegauge.streams.monitor.windows.bounds import Bounds

few = settings(derandomize=True, deadline=None, max_examples=150)
cuts = st.lists(st.integers(0, 60), max_size=8)


class Bare(Monitor):
    """Watches nothing, and keeps where the windows that closed lay."""

    def __init__(self, spec: WindowSpec) -> None:
        origin = Origin("m", "", "predictions", "", 0, RetrainingSpec(), 0)
        super().__init__(origin, MonitorSpec(model="m"), spec, [])
        self.closed: list[Bounds] = []

    def close(self, examples: Examples = MappingProxyType({})) -> list[Output]:
        """Close the open window."""
        self.closed.append(self.bounds)
        return super().close(examples)


def folded(
    spec: WindowSpec, ts_ms: list[int], cuts: list[int]
) -> tuple[list[Bounds], list[Bounds]]:
    """Return the windows that closed, and the open ones."""
    monitor, numbers = Bare(spec), np.arange(len(ts_ms))
    for start, stop in pairwise(sorted({0, *(at for at in cuts if at < len(ts_ms)), len(ts_ms)})):
        empty = np.empty((stop - start, 0))
        times = np.array(ts_ms[start:stop], np.int64)
        rows = Block(numbers[start:stop], times, NO_IDS, empty, (), empty.astype(np.int32), (), ())
        monitor.fold(rows)
    return monitor.closed, [monitor.bounds, *(window.bounds for window in monitor.later)]


@few
@given(rows=st.integers(0, 60), size=st.integers(10, 25), cuts=cuts)
def test_windows_of_rows_are_those_of_the_definition(rows: int, size: int, cuts: list[int]) -> None:
    closed, [window] = folded(WindowSpec(rows=size), list(range(rows)), cuts)
    expected = oracle.of_rows(rows, size)
    full = [own for own in expected if len(own) == size]
    assert [(w.index, w.rows, w.first_offset, w.last_offset) for w in closed] == [
        (n, size, own[0], own[-1]) for n, own in enumerate(full)
    ]
    assert window.rows == rows - size * len(full)


@few
@given(
    ts_ms=st.lists(st.integers(0, 9000), max_size=60),
    offset=st.sampled_from([0, 300, 20_000]),
    lateness=st.sampled_from([0, 400, 1000, 3500]),
    cuts=cuts,
)
@example(ts_ms=[2000, 0, 0, 0, 0, 1000, 1, 0], offset=0, lateness=0, cuts=[7])
@example(ts_ms=[2300, 0, 0, 0, 0, 300, 0], offset=300, lateness=0, cuts=[6])
def test_windows_of_event_time_are_those_of_the_definition(
    ts_ms: list[int], offset: int, lateness: int, cuts: list[int]
) -> None:
    spec = WindowSpec(every="1s", offset=f"{offset}ms", lateness=f"{lateness}ms")
    closed, still_open = folded(spec, ts_ms, cuts)
    expected, count = oracle.of_time(ts_ms, 1000, offset, lateness)
    found = [*closed, *(window for window in still_open if window.rows)]
    assert [(w.rows, w.late, w.early) for w in found] == [
        (len(own), late, early) for own, _, late, early in expected
    ]
    assert [w.index for w in [*closed, still_open[0]]] == [*range(count + 1)]
    assert [(w.first_offset, w.last_offset) for w in found] == [
        (own[0], own[-1]) for own, *_ in expected
    ]
    assert [(w.first_ts_ms, w.last_ts_ms) for w in found] == [
        (min(times), max(times)) for _, times, *_ in expected
    ]
    assert len(closed) == count


HOUR_MS = 3_600_000


def test_one_row_from_tomorrow_closes_no_window() -> None:
    hours = [[hour * HOUR_MS + n for n in range(20)] for hour in range(5)]
    hours[2][7] = 22 * HOUR_MS
    closed, [window] = folded(
        WindowSpec(every="1h"), [ts for hour in hours for ts in hour], [47, 48]
    )
    assert [(w.rows, w.early, w.late) for w in [*closed, window]] == [
        (20, 0, 0), (20, 0, 0), (20, 1, 0), (20, 0, 0), (20, 0, 0)
    ]  # fmt: skip
    assert closed[2].last_ts_ms == 2 * HOUR_MS + 19


def test_a_night_without_rows_is_no_wrong_clock() -> None:
    times = [n for n in range(20)] + [9 * HOUR_MS + n for n in range(20)]
    closed, [window] = folded(WindowSpec(every="1h"), times, [20, 21, 22])
    assert [(w.rows, w.early) for w in [*closed, window]] == [(20, 0), (20, 0)]


def test_a_block_of_rows_is_not_dated_by_a_clock_that_claims_the_year_9999() -> None:
    times = [n for n in range(25)]
    times[4] = 253_402_300_799_999
    closed, [window] = folded(WindowSpec(rows=10), times, [5, 7])
    assert [(w.rows, w.early, w.last_ts_ms) for w in closed] == [(10, 1, 9), (10, 0, 19)]
    assert window.last_ts_ms == 24


def test_an_empty_window_still_knows_where_the_log_stands() -> None:
    closed, [window] = folded(WindowSpec(rows=10), list(range(100, 110)), [])
    assert (len(closed), window.rows) == (1, 0)
    assert (window.last_ts_ms, window.last_offset) == (109, 9)
