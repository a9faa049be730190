from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from streams.cli import columns as read
from streams.cli.columns import read_table
from streams.cli.options import Columns
from streams.cli.traffic import FRAMES, ROWS, Traffic, check
from streams.runtime.errors import ConfigurationError

HOUR_MS = 3_600_000
CSV = """\
id,at,score,late,late_at,temp,origin,dry
c,2013-01-01T02:00:00Z,0.3,1,2013-01-01T05:00:00Z,,EWR,true
a,2013-01-01T00:00:00Z,0.1,0,2013-01-01T03:00:00Z,1.5,JFK,false
b,2013-01-01T01:00:00Z,0.2,,2013-01-01T02:00:00Z,2,,
"""
NEW_YEAR_MS = 1_356_998_400_000
NAMED = Columns(id="id", time="at", prediction="score", label="late", label_time="late_at")


def csv(text: str, tmp_path: Path) -> pa.Table:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    return read_table(file)


def sent(traffic: Traffic, frame_rows: int | None = None) -> list[tuple[str, Any]]:
    return [(m.topic, orjson.loads(m.value)) for m in traffic.messages(frame_rows)]


def test_rows_go_in_order_of_time_and_labels_when_they_are_known(tmp_path: Path) -> None:
    assert sent(Traffic(csv(CSV, tmp_path), NAMED, "m", "1")) == [
        (
            "predictions",
            {
                "model": "m",
                "version": "1",
                "id": id,
                "ts_ms": NEW_YEAR_MS + hour * HOUR_MS,
                "features": {"temp": temp, "origin": origin, "dry": dry},
                "prediction": score,
            },
        )
        for hour, (id, temp, origin, dry, score) in enumerate(
            [
                ("a", 1.5, "JFK", False, 0.1),
                ("b", 2.0, None, None, 0.2),
                ("c", None, "EWR", True, 0.3),
            ]
        )
    ] + [
        ("labels", {"model": "m", "version": "1", "id": id, "ts_ms": at, "label": label})
        for id, at, label in [
            ("a", NEW_YEAR_MS + 3 * HOUR_MS, 0),
            ("c", NEW_YEAR_MS + 5 * HOUR_MS, 1),
        ]
    ]


def test_a_frame_holds_the_same_rows_as_columns(tmp_path: Path) -> None:
    traffic = Traffic(csv(CSV, tmp_path), NAMED, "m")
    first, second, labels = sent(traffic, frame_rows=2)
    assert first == (
        "predictions",
        {
            "model": "m",
            "version": "",
            "ids": ["a", "b"],
            "ts_ms": [NEW_YEAR_MS, NEW_YEAR_MS + HOUR_MS],
            "features": {"temp": [1.5, 2.0], "origin": ["JFK", None], "dry": [False, None]},
            "predictions": [0.1, 0.2],
        },
    )
    assert second[1]["ids"] == ["c"]
    assert labels[1] == {
        "model": "m",
        "version": "",
        "ids": ["a", "c"],
        "ts_ms": [NEW_YEAR_MS + 3 * HOUR_MS, NEW_YEAR_MS + 5 * HOUR_MS],
        "labels": [0, 1],
    }


def test_without_a_delay_a_label_follows_its_row_at_once() -> None:
    table = pa.table({"p": [0.1, 0.2], "y": [True, False]})
    found = sent(Traffic(table, Columns(prediction="p", label="y"), "m"))
    assert [topic for topic, _ in found] == ["predictions", "labels"] * 2
    assert [body["id"] for _, body in found] == ["-1000-0", "-1000-0", "-1000-1", "-1000-1"]


def test_a_delay_counts_from_the_row_and_no_label_is_none() -> None:
    table = pa.table({"t": [0, 10, 20], "p": [0.5] * 3, "y": [1.0, None, float("nan")]})
    columns = Columns(time="t", prediction="p", label="y", label_delay_ms=15)
    found = [(topic, body["ts_ms"]) for topic, body in sent(Traffic(table, columns, "m"))]
    assert found == [("predictions", 0), ("predictions", 10), ("labels", 15), ("predictions", 20)]


@given(
    times=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    delays=st.lists(st.one_of(st.none(), st.integers(-5, 20)), min_size=30, max_size=30),
    frame_rows=st.one_of(st.none(), st.integers(1, 7)),
)
def test_every_row_and_label_is_sent_once_and_no_label_too_early(
    times: list[int], delays: list[int | None], frame_rows: int | None
) -> None:
    rows = range(len(times))
    due = [None if d is None else t + d + 5 for t, d in zip(times, delays, strict=False)]
    table = pa.table(
        {
            "id": [f"r{row}" for row in rows],
            "t": times,
            "p": [0.5] * len(times),
            "y": pa.array([row if due[row] is not None else None for row in rows], pa.int64()),
            "due": pa.array(due, pa.int64()),
        }
    )
    columns = Columns(id="id", time="t", prediction="p", label="y", label_time="due")
    seen: dict[str, int] = {}
    labels: dict[str, int] = {}
    now = -1
    for message in Traffic(table, columns, "m").messages(frame_rows):
        body = orjson.loads(message.value)
        kind = (FRAMES if frame_rows else ROWS)[message.topic]
        msgspec.json.decode(message.value, type=kind)
        ids = body["ids"] if frame_rows else [body["id"]]
        ts_ms = body["ts_ms"] if frame_rows else [body["ts_ms"]]
        assert message.rows == len(ids) == len(ts_ms)
        if message.topic == "predictions":
            assert ts_ms == sorted(ts_ms)
            assert ts_ms[0] >= now
            now = ts_ms[-1]
            assert not set(ids) & set(seen)
            seen |= dict(zip(ids, ts_ms, strict=True))
        else:
            assert set(ids) <= set(seen), "a label before its row"
            assert not set(ids) & set(labels)
            labels |= dict(zip(ids, ts_ms, strict=True))
    assert seen == {f"r{row}": times[row] for row in rows}
    assert labels == {f"r{row}": at for row, at in enumerate(due) if at is not None}


@given(
    delays=st.lists(st.integers(0, 50), min_size=2, max_size=30),
    frame_rows=st.one_of(st.none(), st.integers(1, 5)),
)
def test_a_label_goes_before_the_first_rows_that_are_all_later(
    delays: list[int], frame_rows: int | None
) -> None:
    table = pa.table(
        {"t": [10 * row for row in range(len(delays))], "p": 0.5 * np.ones(len(delays))}
    )
    table = table.append_column("y", pa.array([1] * len(delays)))
    due = [10 * row + delay for row, delay in enumerate(delays)]
    table = table.append_column("due", pa.array(due))
    columns = Columns(time="t", prediction="p", label="y", label_time="due", features=[])
    waiting: list[int] = []
    taken = 0
    for topic, body in sent(Traffic(table, columns, "m"), frame_rows):
        ts_ms = body["ts_ms"] if frame_rows else [body["ts_ms"]]
        if topic == "predictions":
            assert all(at > ts_ms[-1] for at in waiting), "a label was held back"
            waiting += due[taken : taken + len(ts_ms)]
            taken += len(ts_ms)
        else:
            for at in ts_ms:
                waiting.remove(at)
    assert waiting == []


def test_without_a_prediction_column_the_rows_are_features() -> None:
    table = pa.table({"t": [5], "a": [1]})
    ((topic, body),) = sent(Traffic(table, Columns(time="t"), "m"))
    assert topic == "features"
    assert body == {"model": "m", "version": "", "id": "5-0", "ts_ms": 5, "features": {"a": 1}}


def test_made_up_times_end_where_they_should() -> None:
    table = pa.table({"a": [1, 2, 3]})
    traffic = Traffic(table, Columns(), "m", last_ms=1000.0, step_ms=0.5)
    assert traffic.ts_ms.tolist() == [999, 999, 1000]


def test_rows_need_no_features() -> None:
    table = pa.table({"p": [0.5] * 3})
    traffic = Traffic(table, Columns(prediction="p"), "m")
    assert [body["features"] for _, body in sent(traffic)] == [{}] * 3
    assert [body["features"] for _, body in sent(traffic, 2)] == [{}] * 2


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([7, 8]),
            "t": pa.array([1_000, 2_000], pa.timestamp("us")),
            "p": pa.array(["0.25", "0.50"]).cast(pa.decimal128(5, 2)),
            "color": pa.array(["red", ""]).dictionary_encode(),
            "many": pa.array(["x", "y"], pa.large_string()),
            "none": pa.nulls(2),
            "big": pa.array([2**40, None]),
            "odd": pa.array([float("nan"), float("inf")]),
            "born": pa.array([0, 1], pa.date32()),
        }
    )
    file = tmp_path / "rows.PARQUET"
    parquet.write_table(table, file)
    columns = Columns(id="id", time="t", prediction="p")
    traffic = Traffic(read_table(file), columns, "m")
    assert traffic.left_out == ["born"]
    (_, first), (_, second) = sent(traffic)
    assert (first["id"], first["ts_ms"], first["prediction"]) == ("7", 1, 0.25)
    assert first["features"] == {
        "color": "red",
        "many": "x",
        "none": None,
        "big": 2**40,
        "odd": None,
    }
    assert second["features"]["color"] is None
    assert second["features"]["odd"] is None


@pytest.mark.parametrize(
    "values",
    [
        ["1970-01-01T00:00:01.5Z", "1970-01-01T00:00:02+00:00"],
        ["1970-01-01T01:00:01.5+01:00", "1970-01-01T00:00:02Z"],
        ["1970-01-01T00:00:01.500", "1970-01-01 00:00:02"],
        [1500, 2000],
        [1500.9, 2000.0],
        pa.array([1_500_999, 2_000_000], pa.timestamp("us")),
        pa.array([1_500_999, 2_000_000], pa.timestamp("us", "Europe/Berlin")),
    ],
)
def test_times_come_in_many_forms(values: Any) -> None:
    assert read.times(pa.table({"t": values}), "t").tolist() == [1500.0, 2000.0]


def test_a_day_is_its_midnight() -> None:
    table = pa.table({"t": pa.array([15_706], pa.date32())})
    assert read.times(table, "t").tolist() == [NEW_YEAR_MS]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (Columns(id="nobody"), "expected a column 'nobody'; the file has id, "),
        (Columns(prediction="origin"), "column 'origin': expected numbers or booleans"),
        (Columns(prediction="temp"), "column 'temp': expected predictions, got 1 gaps"),
        (Columns(prediction="score", label="origin"), "column 'origin': expected numbers"),
        (Columns(time="origin"), "column 'origin': expected ISO 8601"),
        (Columns(time="gap"), "column 'gap': got 1 rows without a time"),
        (Columns(id="gap"), "column 'gap': expected ids, got 1 gaps"),
        (
            Columns(features=["at"]),
            "column 'at': expected numbers, booleans or text, got timestamp",
        ),
        (Columns(label="late"), "a label column needs a prediction column"),
    ],
)
def test_a_column_that_will_not_do_is_named(columns: Columns, told: str, tmp_path: Path) -> None:
    table = csv(CSV, tmp_path).append_column("gap", pa.array([1, None, 3]))
    with pytest.raises(ConfigurationError) as caught:
        Traffic(table, columns, "m")
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n", "expected rows, got none"),
        ("a,a\n1,2\n", "expected columns of different names, got ['a']"),
        ("a,b\n1,2\n3\n", "expected CSV, or Parquet as .parquet: "),
        ("", "expected CSV, or Parquet as .parquet: "),
    ],
)
def test_a_file_that_will_not_do_is_named(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        csv(text, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'rows.csv'}: {told}")
    assert "\n" not in str(caught.value)


def test_what_a_worker_would_reject_is_told_before_it_is_sent() -> None:
    table = pa.table({"p": [0.5], "t": [-1]})
    traffic = Traffic(table, Columns(prediction="p", time="t"), "m")
    for frame_rows in (None, 10):
        (message,) = traffic.messages(frame_rows)
        with pytest.raises(ConfigurationError, match=r"would reject these predictions: .*ts_ms"):
            check(message, as_frame=bool(frame_rows))
