import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.arrow_frames import dumps
from tidegauge.schemas.events import FeatureFrame, Label, LabelFrame, Prediction, PredictionFrame
from tidegauge.schemas.monitors import LabelSpec, MonitorSpec
from tidegauge.streams.cli.files import read_table
from tidegauge.streams.cli.options import Columns
from tidegauge.streams.cli.traffic import MESSAGE_BYTES, Traffic, read_traffic
from tidegauge.streams.monitor.intake.arrow_frames import read_frame
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.runtime.errors import ConfigurationError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FRAMES = {"predictions": PredictionFrame, "features": FeatureFrame, "labels": LabelFrame}
ROWS = {"predictions": Prediction, "labels": Label}
CSV = """\
id,at,score,late,late_at,temp,origin,dry
c,2013-01-01T02:00:00Z,0.3,1,2013-01-01T05:00:00Z,,EWR,true
a,2013-01-01T00:00:00Z,0.1,0,2013-01-01T03:00:00Z,1.5,JFK,false
b,2013-01-01T01:00:00Z,0.2,,2013-01-01T02:00:00Z,2,,
"""
NEW_YEAR_MS = 1_356_998_400_000
NOW_MS = NEW_YEAR_MS + DAY_MS
NAMED = Columns(id="id", time="at", prediction="score", label="late", label_time="late_at")


def csv(text: str, tmp_path: Path, columns: Columns = NAMED) -> pa.Table:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    return read_table(file, columns)


def traffic_of(table: pa.Table, columns: Columns, **options: Any) -> Traffic:
    return Traffic(table, columns, "m", **{"now_ms": NOW_MS, **options})


def sent(traffic: Traffic, frame_rows: int | None = None) -> list[tuple[str, Any]]:
    return [(m.topic, orjson.loads(m.value)) for m in traffic.messages(frame_rows)]


def test_rows_go_in_order_of_time_and_labels_when_they_are_known(tmp_path: Path) -> None:
    assert sent(traffic_of(csv(CSV, tmp_path), NAMED, version="1")) == [
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
    traffic = traffic_of(csv(CSV, tmp_path), NAMED)
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


def test_an_arrow_frame_stands_for_the_frame_that_is_sent_otherwise(tmp_path: Path) -> None:
    traffic = traffic_of(csv(CSV, tmp_path), NAMED)
    arrow = [read_frame(message.value).as_json() for message in traffic.messages(2, dumps)]
    frames = [{"features": {}, **frame} for _, frame in sent(traffic, frame_rows=2)]
    assert list(map(json.loads, arrow)) == frames


def test_without_a_delay_a_label_follows_its_row_at_once() -> None:
    table = pa.table({"p": [0.1, 0.2], "y": [True, False]})
    found = sent(traffic_of(table, Columns(prediction="p", label="y")))
    assert [topic for topic, _ in found] == ["predictions", "labels"] * 2
    first = NOW_MS - 1000
    assert [body["id"] for _, body in found] == [f"{first}-{row}" for row in (0, 0, 1, 1)]


def test_a_delay_counts_from_the_row_and_no_label_is_none() -> None:
    times = [NEW_YEAR_MS + at for at in (0, 10, 20)]
    table = pa.table({"t": times, "p": [0.5] * 3, "y": [1.0, None, float("nan")]})
    columns = Columns(time="t", prediction="p", label="y", label_delay_ms=15)
    found = [
        (topic, body["ts_ms"] - NEW_YEAR_MS) for topic, body in sent(traffic_of(table, columns))
    ]
    assert found == [("predictions", 0), ("predictions", 10), ("labels", 15), ("predictions", 20)]


@given(
    times=st.lists(st.integers(0, 20).map(lambda at: NEW_YEAR_MS + at), min_size=1, max_size=30),
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
    for message in traffic_of(table, columns).messages(frame_rows):
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
    times = [NEW_YEAR_MS + 10 * row for row in range(len(delays))]
    table = pa.table({"t": times, "p": 0.5 * np.ones(len(delays))})
    table = table.append_column("y", pa.array([1] * len(delays)))
    due = [at + delay for at, delay in zip(times, delays, strict=True)]
    table = table.append_column("due", pa.array(due))
    columns = Columns(time="t", prediction="p", label="y", label_time="due", features=[])
    waiting: list[int] = []
    taken = 0
    for topic, body in sent(traffic_of(table, columns), frame_rows):
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
    table = pa.table({"t": [NEW_YEAR_MS], "a": [1]})
    ((topic, body),) = sent(traffic_of(table, Columns(time="t")))
    assert topic == "features"
    assert body == {
        "model": "m",
        "version": "",
        "id": f"{NEW_YEAR_MS}-0",
        "ts_ms": NEW_YEAR_MS,
        "features": {"a": 1},
    }


def times_of(traffic: Traffic) -> list[int]:
    return [body["ts_ms"] - NOW_MS for topic, body in sent(traffic) if topic != "labels"]


def test_made_up_times_end_when_the_last_row_is_sent() -> None:
    table = pa.table({"p": [0.5] * 3, "y": [1] * 3})
    assert times_of(traffic_of(table, Columns(prediction="p"))) == [-2000, -1000, 0]
    assert times_of(traffic_of(table, Columns(prediction="p"), rate=10)) == [100, 200, 300]
    delayed = Columns(prediction="p", label="y", label_delay_ms=DAY_MS)
    assert times_of(traffic_of(table, delayed))[-1] == -DAY_MS


def test_rows_need_no_features() -> None:
    traffic = traffic_of(pa.table({"p": [0.5] * 3}), Columns(prediction="p"))
    assert [body["features"] for _, body in sent(traffic)] == [{}] * 3
    assert [body["features"] for _, body in sent(traffic, 2)] == [{}] * 2


def test_a_label_column_needs_a_prediction_column() -> None:
    with pytest.raises(ConfigurationError, match="a label column needs a prediction column"):
        traffic_of(pa.table({"y": [1]}), Columns(label="y"))


def test_a_frame_that_no_topic_would_take_is_sent_in_parts() -> None:
    ids = [f"{row:0500}" for row in range(4000)]
    table = pa.table({"id": ids, "p": [0.5] * 4000, "y": [1] * 4000, "c": ["x" * 300] * 4000})
    columns = Columns(id="id", prediction="p", label="y")
    messages = list(traffic_of(table, columns).messages(4000))
    assert max(len(message.value) for message in messages) <= MESSAGE_BYTES
    for topic in ("predictions", "labels"):
        bodies = [orjson.loads(m.value) for m in messages if m.topic == topic]
        assert [id for body in bodies for id in body["ids"]] == ids
        assert len(bodies) > 1


AHEAD = NOW_MS + 2 * DAY_MS
BAD = [
    ({"id": "y" * 513}, "a worker would reject: Expected `str` of length <= 512 - at `$.id`"),
    ({"id": None}, "column 'id': expected an id"),
    ({"x": 1e101}, "a worker would reject: Expected `float` <= 1e+100 - at `$.features.x`"),
    ({"p": -1e101}, "a worker would reject: Expected `float` >= -1e+100 - at `$.prediction`"),
    ({"p": None}, "column 'p': expected a prediction, got nothing"),
    ({"p": float("inf")}, "column 'p': expected a prediction"),
    ({"t": AHEAD}, "column 't': expected a time at most a day ahead"),
    ({"t": None}, "column 't': expected a time, got nothing"),
    ({"t": 1_356_998_400}, "column 't': expected milliseconds since 1970"),
    ({"c": "z" * 1_000_001}, "a worker would reject: expected at most 1,000,000 bytes"),
]
GOOD = {"id": "a", "t": NEW_YEAR_MS, "p": 0.5, "x": 1.0, "c": "DE", "y": 1.0, "known": NOW_MS}
ALL = Columns(id="id", time="t", prediction="p", label="y", label_time="known")


def table_of(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{**GOOD, **row} for row in rows])


@pytest.mark.parametrize("frame_rows", [None, 2])
@pytest.mark.parametrize(("bad", "told"), BAD)
def test_a_row_that_a_worker_would_reject_is_told_with_its_place_and_left_out(
    bad: dict[str, Any], told: str, frame_rows: int | None
) -> None:
    rows = [{"id": "1"}, {"id": "2"}, {"id": "3", **bad}, {"id": "4"}, {"id": "5", **bad}]
    traffic = traffic_of(table_of(*rows), ALL)
    assert (len(traffic.bad), traffic.rows) == (2, 3)
    (reason,) = traffic.bad.reasons
    assert reason.startswith(told)
    assert reason.endswith("in row 3 and 1 more")
    assert not traffic.bad_labels
    ids = [body["ids"] if frame_rows else [body["id"]] for _, body in sent(traffic, frame_rows)]
    assert {id for some in ids for id in some} == {"1", "2", "4"}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"y": 1e101}, "a worker would reject: Expected `float` <= 1e+100 - at `$.label`"),
        ({"known": AHEAD}, "column 'known': expected a time at most a day ahead"),
        ({"known": 1_356_998_400}, "column 'known': expected milliseconds since 1970"),
        ({"known": None}, "column 'known': expected the label's time, got nothing"),
    ],
)
def test_a_label_that_a_worker_would_reject_is_left_out_and_its_row_is_not(
    bad: dict[str, Any], told: str
) -> None:
    traffic = traffic_of(table_of({"id": "1"}, {"id": "2", **bad}), ALL)
    assert (len(traffic.bad), len(traffic.bad_labels), traffic.rows) == (0, 1, 2)
    assert traffic.bad_labels.reasons[0].startswith(told)
    assert traffic.bad_labels.reasons[0].endswith("in row 2")
    assert [body["id"] for topic, body in sent(traffic) if topic == "labels"] == ["1"]


def test_a_time_without_a_label_is_no_fault() -> None:
    traffic = traffic_of(table_of({"y": None, "known": 5}, {"y": float("nan")}), ALL)
    assert not traffic.bad
    assert not traffic.bad_labels


def test_labels_that_a_delay_moves_into_the_future_are_told() -> None:
    columns = Columns(time="t", prediction="p", label="y", label_delay_ms=30 * DAY_MS)
    traffic = traffic_of(table_of({}, {}), columns)
    (reason,) = traffic.bad_labels.reasons
    assert reason.startswith("column 'y': expected a label that is known by now")
    assert reason.endswith("got '2013-01-31 00:00:00.000Z' in row 1 and 1 more")


def test_a_rate_leaves_rows_and_labels_the_time_until_they_are_sent() -> None:
    ahead = [NOW_MS + hours * HOUR_MS for hours in (0, 20, 40, 60)]
    columns = Columns(time="t", prediction="p", label="y", label_time="known", features=[])
    table = table_of(*({"t": at, "known": at} for at in ahead))
    slow = traffic_of(table, columns, rate=1 / (20 * 3600))
    assert not slow.bad
    assert not slow.bad_labels
    assert len(traffic_of(table, columns).bad) == 2


number = st.one_of(
    st.none(), st.sampled_from([1e100, -1e100, 1e101, -2e307, float("nan"), float("inf"), 0.5])
)
loose = st.fixed_dictionaries(
    {
        "id": st.one_of(st.none(), st.sampled_from(["", "a", "y" * 512, "y" * 513, "😀"])),
        "t": st.sampled_from([NOW_MS, NOW_MS + DAY_MS, NOW_MS + DAY_MS + 1, 0, -1, None, 2**60]),
        "p": number,
        "x": number,
        "c": st.one_of(st.none(), st.text(max_size=3)),
        "y": number,
        "known": st.sampled_from([NOW_MS, NOW_MS + DAY_MS, NOW_MS + DAY_MS + 1, None]),
    }
)


@given(st.lists(loose, min_size=1, max_size=8), st.sampled_from([None, 3]))
def test_a_worker_rejects_nothing_of_what_is_sent(
    rows: list[dict[str, Any]], frame_rows: int | None
) -> None:
    schema = table_of({}).schema
    traffic = traffic_of(pa.Table.from_pylist(rows, schema), ALL)
    log = OfflineLog()
    sent_rows = 0
    for message in traffic.messages(frame_rows):
        log.append(message.topic, b"m", message.value, timestamp=NOW_MS)
        sent_rows += message.rows if message.topic == "predictions" else 0
    assert [output for output in log.outputs if output.topic == "rejected"] == []
    assert sent_rows == len(rows) - len(traffic.bad)
    fine = [
        row["id"]
        and row["p"] == 0.5
        and row["t"] in (NOW_MS, NOW_MS + DAY_MS)
        and row["x"] in (None, 0.5)
        and len(row["id"]) <= 512
        for row in rows
    ]
    assert not any(bad and good for bad, good in zip(traffic.bad.mask, fine, strict=True))


def read_file(tmp_path: Path, text: str, *, skip_bad: bool = False, **columns: Any) -> Traffic:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    spec = MonitorSpec(model="m", labels=LabelSpec(horizon="2d"))
    return read_traffic(file, Columns(**columns), spec, "", skip_bad)


BAD_CSV = "id,p,y\na,0.5,yes\n,0.5,1\nc,high,0\nd,0.5,1\n"


def test_a_file_with_bad_rows_is_refused_with_counts_reasons_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_file(tmp_path, BAD_CSV, id="id", prediction="p", label="y")
    rows, labels, end = str(caught.value).splitlines()
    assert rows.startswith(
        "2 of 4 rows cannot be used: column 'p': expected a number as prediction"
    )
    assert "got 'high' in row 3; column 'id': expected an id" in rows
    assert rows.endswith("got nothing in row 2")
    assert labels == (
        "1 of 4 rows' labels cannot be used: column 'y': expected a label as number, true or "
        "false, got 'yes' in row 1"
    )
    assert end == "nothing was sent: mend the file, or leave these out with --skip-bad"


def test_columns_of_text_are_classes(tmp_path: Path) -> None:
    text = "id,p,y\n" + "".join(f"r{n},{('cat', 'dog')[n % 2]},cat\n" for n in range(300))
    traffic = read_file(tmp_path, text, id="id", prediction="p", label="y")
    log = OfflineLog()
    for message in traffic.messages(100):
        log.append(message.topic, b"m", message.value)
    assert [o for o in log.outputs if o.topic == "rejected"] == []
    journal = [orjson.loads(o.value or b"") for o in log.outputs if o.topic == "outcomes"]
    pairs = [entry for entry in journal if entry["kind"] == "outcomes"]
    assert [c for entry in pairs for c in entry["classes"]][:2] == ["cat", "dog"]
    assert [c for entry in pairs for c in entry["labels"]][:2] == [1.0, 0.0]


def test_bad_rows_and_labels_are_left_out_on_demand_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named: dict[str, Any] = {"id": "id", "prediction": "p", "label": "y"}
    traffic = read_file(tmp_path, BAD_CSV, skip_bad=True, **named)
    found = [(topic, body["id"]) for topic, body in sent(traffic)]
    assert found == [("predictions", "a"), ("predictions", "d"), ("labels", "d")]
    told = capsys.readouterr().err
    assert "tidegauge: left out: 2 of 4 rows cannot be used: " in told
    assert "tidegauge: left out: 1 of 4 rows' labels cannot be used: " in told


def test_a_file_without_a_single_good_row_is_refused_even_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing was sent: no row is left"):
        read_file(tmp_path, "p\n93%\n94%\n", skip_bad=True, prediction="p")


def test_labels_that_come_too_late_to_be_paired_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named: dict[str, Any] = {"prediction": "p", "label": "y"}
    read_file(tmp_path, "p,y\n0.5,1\n0.5,\n", **named, label_delay_ms=3 * DAY_MS)
    assert "1 labels lie more than 2d from their rows" in capsys.readouterr().err
    read_file(tmp_path, "p,y\n0.5,1\n", **named, label_delay_ms=DAY_MS)
    assert capsys.readouterr().err == ""


def test_ids_that_come_again_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_file(tmp_path, "id,p\na,0.5\nb,0.5\na,0.5\n", id="id", prediction="p")
    assert "1 rows repeat an id" in capsys.readouterr().err
