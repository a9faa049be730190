"""Windows of rows and of event time, wherever their rows are cut."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.oracles import windows as oracle
from tidegauge.schemas.monitors import WindowSpec
from tidegauge.streams.monitor.intake.block import Ints
from tidegauge.streams.monitor.windows.bounds import Bounds
from tidegauge.streams.monitor.windows.cutting import cut, dated

few = settings(derandomize=True, deadline=None, max_examples=150)
cuts = st.lists(st.integers(0, 60), max_size=8)


def folded(spec: WindowSpec, ts_ms: list[int], cuts: list[int]) -> tuple[list[Bounds], Bounds]:
    """Return the windows that closed, and the open one."""
    window, closed = Bounds(), []
    times, numbers = np.array(ts_ms, np.int64), np.arange(len(ts_ms))
    waiting = np.empty(0, np.int64)
    for stop in [*sorted(at for at in cuts if 0 < at < len(ts_ms)), len(ts_ms)]:
        held = np.concatenate([waiting, numbers[:stop][numbers[:stop] > _last(waiting, window)]])
        if not len(held):
            continue
        found = dated(window, spec, times[held])
        waiting = held[len(found) :]
        for start, end, closes in cut(window, spec, found.ts_ms):
            if end > start:
                early = int(found.early[start:end].sum())
                window.add(spec, found.ts_ms[start:end], held[start:end], early)
            if closes:
                closed.append(window)
                window = window.following()
    return closed, window


def _last(waiting: Ints, window: Bounds) -> int:
    """Return the number of the last row seen."""
    begun = window.rows or window.index
    return int(waiting[-1]) if len(waiting) else window.last_offset if begun else -1


@few
@given(rows=st.integers(0, 60), size=st.integers(10, 25), cuts=cuts)
def test_windows_of_rows_are_those_of_the_definition(rows: int, size: int, cuts: list[int]) -> None:
    closed, window = folded(WindowSpec(rows=size), list(range(rows)), cuts)
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
    cuts=cuts,
)
@example(ts_ms=[2000, 0, 0, 0, 0, 1000, 1, 0], offset=0, cuts=[7])
@example(ts_ms=[2300, 0, 0, 0, 0, 300, 0], offset=300, cuts=[6])
def test_windows_of_event_time_are_those_of_the_definition(
    ts_ms: list[int], offset: int, cuts: list[int]
) -> None:
    spec = WindowSpec(every="1s", offset=f"{offset}ms")
    closed, window = folded(spec, ts_ms, cuts)
    expected = oracle.of_time(ts_ms, 1000, offset)
    found = [*closed, window] if window.rows else closed
    assert [(w.index, w.rows, w.late, w.early) for w in found] == [
        (n, len(own), late, early) for n, (own, _, late, early) in enumerate(expected)
    ]
    assert [(w.first_offset, w.last_offset) for w in found] == [
        (own[0], own[-1]) for own, *_ in expected
    ]
    assert [(w.first_ts_ms, w.last_ts_ms) for w in found] == [
        (min(times), max(times)) for _, times, *_ in expected
    ]
    assert len(closed) == max(len(expected) - 1, 0)


HOUR_MS = 3_600_000


def test_one_row_from_tomorrow_closes_no_window() -> None:
    hours = [[hour * HOUR_MS + n for n in range(20)] for hour in range(5)]
    hours[2][7] = 22 * HOUR_MS
    closed, window = folded(WindowSpec(every="1h"), [ts for hour in hours for ts in hour], [47, 48])
    assert [(w.rows, w.early, w.late) for w in [*closed, window]] == [
        (20, 0, 0), (20, 0, 0), (20, 1, 0), (20, 0, 0), (20, 0, 0)
    ]  # fmt: skip
    assert closed[2].last_ts_ms == 2 * HOUR_MS + 19


def test_a_night_without_rows_is_no_wrong_clock() -> None:
    times = [n for n in range(20)] + [9 * HOUR_MS + n for n in range(20)]
    closed, window = folded(WindowSpec(every="1h"), times, [20, 21, 22])
    assert [(w.rows, w.early) for w in [*closed, window]] == [(20, 0), (20, 0)]


def test_a_block_of_rows_is_not_dated_by_a_clock_that_claims_the_year_9999() -> None:
    times = [n for n in range(25)]
    times[4] = 253_402_300_799_999
    closed, window = folded(WindowSpec(rows=10), times, [5, 7])
    assert [(w.rows, w.early, w.last_ts_ms) for w in closed] == [(10, 1, 9), (10, 0, 19)]
    assert window.last_ts_ms == 24


def test_an_empty_window_still_knows_where_the_log_stands() -> None:
    closed, window = folded(WindowSpec(rows=10), list(range(100, 110)), [])
    assert (len(closed), window.rows) == (1, 0)
    assert (window.last_ts_ms, window.last_offset) == (109, 9)
