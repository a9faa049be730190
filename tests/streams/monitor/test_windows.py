"""Windows of rows and of event time, wherever their rows are cut."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.monitors import WindowSpec
from streams.monitor.windows import Window, cut
from tests.oracles import windows as oracle

few = settings(derandomize=True, deadline=None, max_examples=150)
cuts = st.lists(st.integers(0, 60), max_size=8)


def folded(spec: WindowSpec, ts_ms: list[int], cuts: list[int]) -> tuple[list[Window], Window]:
    """Return the windows that closed, and the open one."""
    window, closed = Window(), []
    times, numbers = np.array(ts_ms, np.int64), np.arange(len(ts_ms))
    places = sorted(at for at in cuts if at < len(ts_ms))
    for ts, offsets in zip(np.split(times, places), np.split(numbers, places), strict=True):
        if not len(ts):
            continue
        for start, stop, closes in cut(window, spec, ts):
            if stop > start:
                window.add(spec, ts[start:stop], offsets[start:stop])
            if closes:
                closed.append(window)
                window = window.following()
    return closed, window


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
def test_windows_of_event_time_are_those_of_the_definition(
    ts_ms: list[int], offset: int, cuts: list[int]
) -> None:
    spec = WindowSpec(every="1s", offset=f"{offset}ms")
    closed, window = folded(spec, ts_ms, cuts)
    expected = oracle.of_time(ts_ms, 1000, offset)
    found = [*closed, window] if window.rows else closed
    assert [(w.index, w.rows, w.late, w.first_offset, w.last_offset) for w in found] == [
        (n, len(own), late, own[0], own[-1]) for n, (own, late) in enumerate(expected)
    ]
    assert [(w.first_ts_ms, w.last_ts_ms) for w in found] == [
        (min(ts_ms[n] for n in own), max(ts_ms[n] for n in own)) for own, _ in expected
    ]
    assert len(closed) == max(len(expected) - 1, 0)


def test_an_empty_window_still_knows_where_the_log_stands() -> None:
    closed, window = folded(WindowSpec(rows=10), list(range(100, 110)), [])
    assert (len(closed), window.rows) == (1, 0)
    assert (window.last_ts_ms, window.last_offset) == (109, 9)
