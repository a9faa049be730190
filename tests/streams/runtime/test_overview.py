"""What the latest records say of when a model was heard of last."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.runtime.overview import Heard, _last_windows

CLOSED_MS = 1_800_000_000_000


async def reports(*bodies: dict[str, Any]) -> AsyncIterator[LoggedRecord]:
    own = {"model": "fraud", "version": "", "source": "predictions", "window": 7, "rows": 30}
    own |= {"first_ts_ms": 0, "last_ts_ms": 1}
    for offset, body in enumerate(bodies):
        yield LoggedRecord(offset, CLOSED_MS, b"fraud", msgspec.json.encode(own | body))


async def heard_of(body: dict[str, Any]) -> Heard | None:
    heard: dict[tuple[str, str], Heard] = {}
    wanted = {("fraud", "", body.get("source", "predictions"))}
    assert (await _last_windows(reports(body), wanted, heard)).keys() == wanted
    return heard.get(("fraud", ""))


async def test_the_report_of_a_window_that_rows_closed_is_a_sign_of_them() -> None:
    assert await heard_of({}) == Heard(CLOSED_MS)


async def test_the_report_of_a_window_that_the_clock_or_a_label_closed_is_no_sign_of_rows() -> None:
    assert await heard_of({"ticked": True, "rows": 0}) is None
    assert await heard_of({"ticked": True}) is None
    assert await heard_of({"source": "outcomes"}) is None
