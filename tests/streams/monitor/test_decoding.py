"""Which model version a row goes to does not depend on what stood beside it in the batch."""

import json
from collections.abc import Sequence

import pytest

from tests.streams.monitor.logs import row
from tidegauge.streams.monitor.intake.columns import Columns
from tidegauge.streams.monitor.intake.decoding import BatchReader
from tidegauge.streams.monitor.offline import LoggedRecord

KEYS = {("a", ""), ("b", "")}


def record(n: int, value: bytes) -> LoggedRecord:
    return LoggedRecord(n, 1 << 40, b"k", value)


def counts(batches: Sequence[Sequence[LoggedRecord]]) -> tuple[dict[str, int], int]:
    """Return the rows of each model, and how many were rejected."""
    reader = BatchReader("predictions")
    reader.columns = {key: Columns(("x",), ()) for key in KEYS}
    found, rejected = {"a": 0, "b": 0}, 0
    for batch in batches:
        read = reader.read(batch, KEYS)
        for (model, _), block in read.blocks:
            found[model] += len(block)
        rejected += len(read.rejections)
    return found, rejected


def good(model: str, n: int) -> bytes:
    return row(model, str(n), n, {"x": 1.0}, 0.5)


def test_a_bad_row_of_another_model_leaves_the_next_rows_where_they_belong() -> None:
    values = [good("b", 0), good("a", 1), row("b", "2", 2, {"x": "text"}, 0.5)]
    values += [good("a", n) for n in range(3, 8)] + [good("b", 8)]
    records = [record(n, value) for n, value in enumerate(values)]
    assert counts([records]) == counts([[one] for one in records]) == ({"a": 6, "b": 2}, 1)


@pytest.mark.parametrize("padding", [0, 400])
@pytest.mark.parametrize("name", ["ids", "\\u0069ds"])
def test_a_row_with_ids_is_no_row_whichever_path_reads_it(name: str, padding: int) -> None:
    odd = json.dumps({"model": "a", "id": "1", "ts_ms": 1, "prediction": 0.5, "IDS": 1})
    value = odd.replace("IDS", name).encode() + b" " * padding
    records = [record(0, good("a", 0)), record(1, value), record(2, good("a", 2))]
    assert counts([records]) == counts([[one] for one in records]) == ({"a": 2, "b": 0}, 1)
