"""Whatever is sent: what cannot be read is rejected with its reason, the rest is kept."""

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.driver import SETTINGS, Driver, published
from tests.streams.monitor.logs import NOON_MS, frame, label, row
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.references import Reference
from tidegauge.schemas.rejected import PREFIX
from tidegauge.streams.monitor.intake.rejections import rows_in
from tidegauge.streams.monitor.offline import LoggedRecord, learn_reference
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Output, Source

DAY_MS = 86_400_000
WORDS = ["model", "id", "ids", "ts_ms", "features", "prediction", "predictions", "label", "labels"]
GOOD = {"model": "m", "id": "x", "ts_ms": 5, "features": {"a": 1.5, "c": "DE"}, "prediction": 0.5}
DEEP = b'{"model": "m", "extra": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DEEP_FEATURE = b'{"model": "m", "id": "x", "ts_ms": 5, "prediction": 1, "features": {"a": %s}}' % (
    b"[" * 100_000 + b"]" * 100_000
)


def changed(**fields: Any) -> bytes:
    return json.dumps(GOOD | fields).encode()


def without(name: str) -> bytes:
    return json.dumps({k: v for k, v in GOOD.items() if k != name}).encode()


def spelled(**fields: str) -> bytes:
    """Return a row in which these fields are spelled in that very way."""
    text = json.dumps(GOOD | dict.fromkeys(fields, "?"))
    for name, spelling in fields.items():
        text = text.replace(f'"{name}": "?"', f'"{name}": {spelling}')
    return text.encode()


BAD_ANYWHERE: dict[str, tuple[bytes | None, str]] = {
    "null": (None, "no value"),
    "empty": (b"", "Input data was truncated; the value is empty"),
    "byte order mark": (b"\xef\xbb\xbf" + changed(), "byte order mark: send UTF-8 without"),
    "Arrow file": (b"ARROW1\0\0\xff\xff\xff\xff", "it is an Arrow file (Feather): send an"),
    "broken": (b'{"model": "m", ', "truncated"),
    "trailing": (changed() + b"}", "malformed"),
    "not an object": (b"[1, 2]", "Expected `object`, got `array`"),
    "a number": (b"17", "Expected `object`"),
    "deep": (DEEP, "nested too deeply"),
    "not utf-8": (changed().replace(b'"x"', b'"\xff"'), "expected UTF-8, got 0xff (byte 22)"),
    "no model": (without("model"), "missing required field `model`"),
    "empty model": (changed(model=""), "length >= 1 - at `$.model`"),
    "long model": (changed(model="m" * 201), "length <= 200 - at `$.model`"),
    "model of another type": (changed(model=7), "got `int` - at `$.model`"),
    "lone surrogate": (spelled(model=r'"\ud800"'), "JSON is malformed"),
    "lone surrogate at the end": (spelled(id=r'"\ud800"'), "a text has half of a surrogate pair"),
    "lone second surrogate": (spelled(model=r'"\udc00"'), "JSON is malformed"),
    "no id": (without("id"), "missing required field `id`"),
    "id of another type": (changed(id=7), "got `int` - at `$.id`"),
    "empty id": (changed(id=""), "length >= 1 - at `$.id`"),
    "no time": (without("ts_ms"), "missing required field `ts_ms`"),
    "time before 1970": (changed(ts_ms=-1), ">= 0 - at `$.ts_ms`"),
    "time after 9999": (spelled(ts_ms="1e30"), "got `float` - at `$.ts_ms`"),
    "time as text": (changed(ts_ms="2020-01-01"), "got `str` - at `$.ts_ms`"),
    "time of a wrong clock": (changed(ts_ms=NOON_MS + DAY_MS + 1), "at most a day after"),
}
BAD_ROWS: dict[str, tuple[bytes | None, str]] = BAD_ANYWHERE | {
    "no prediction": (without("prediction"), "missing required field `prediction`"),
    "prediction as text": (changed(prediction="high"), "got `str` - at `$.prediction`"),
    "no number": (changed(prediction=None), "got `null` - at `$.prediction`"),
    "NaN": (spelled(prediction="NaN"), "malformed"),
    "Infinity": (spelled(prediction="Infinity"), "malformed"),
    "1e999": (spelled(prediction="1e999"), "out of range"),
    "too large to square": (spelled(prediction="-1e200"), ">= -1e+100 - at `$.prediction`"),
    "feature too large to square": (
        spelled(features='{"a": 1e101}'),
        "<= 1e+100 - at `$.features.a`",
    ),
    "feature of another type": (changed(features={"a": "many"}), "got `str` - at `$.features.a`"),
    "number for a category": (changed(features={"c": 7}), "got `int` - at `$.features.c`"),
    "list as a feature": (changed(features={"a": [1]}), "got `array` - at `$.features.a`"),
    "features as a list": (changed(features=[1]), "got `array` - at `$.features`"),
    "deep feature": (DEEP_FEATURE, "nested too deeply"),
    "empty frame": (
        b'{"model": "m", "ids": [], "ts_ms": [], "predictions": []}',
        "got 0 - at `$.ids`",
    ),
    "unequal times": (
        b'{"model": "m", "ids": ["x", "y"], "ts_ms": [5], "predictions": [1, 2]}',
        "expected 2 values as in ids, got 1 - at `$.ts_ms`",
    ),
    "unequal feature": (
        b'{"model": "m", "ids": ["x"], "ts_ms": [5], "predictions": [1], "features": {"a": []}}',
        "expected 1 values as in ids, got 0 - at `$.features.a`",
    ),
    "ids as text": (b'{"model": "m", "ids": "x", "ts_ms": [5], "predictions": [1]}', "at `$.ids`"),
}
BAD_LABELS: dict[str, tuple[bytes | None, str]] = {
    name: (value and value.replace(b'"prediction"', b'"label"'), reason)
    for name, (value, reason) in BAD_ANYWHERE.items()
} | {
    "no label": (b'{"model": "m", "id": "x", "ts_ms": 5}', "missing required field `label`"),
    "empty label": (b'{"model": "m", "id": "x", "ts_ms": 5, "label": ""}', "at `$.label`"),
    "too large": (b'{"model": "m", "id": "x", "ts_ms": 5, "label": 1e101}', "at `$.label`"),
    "empty frame": (b'{"model": "m", "ids": [], "ts_ms": [], "labels": []}', "got 0 - at `$.ids`"),
    "unequal": (
        b'{"model": "m", "ids": ["x"], "ts_ms": [5], "labels": [1, 0]}',
        "expected 1 values as in ids, got 2 - at `$.labels`",
    ),
}


def record(offset: int, value: bytes | None, **fields: Any) -> LoggedRecord:
    kept: dict[str, Any] = {"timestamp": NOON_MS, "key": b"m"}
    kept["headers"] = [("trace", b"7"), ("empty", None)]
    return LoggedRecord(offset, value=value, **(kept | fields))


def good(n: int) -> bytes:
    return row("m", f"g{n}", n, {"a": n / 2, "c": "DE"}, 0.5)


def known(rows: int = 100) -> Driver:
    """Return a driver that knows the model, with that many rows."""
    driver = Driver()
    driver.fold("predictions", [record(n, good(n)) for n in range(rows)])
    return driver


def letters(driver: Driver) -> list[Output]:
    return [output for output in driver.outputs if output.topic == "rejected"]


def reason(letter: Output) -> str:
    text = dict(letter.headers)[PREFIX + "exception.message"]
    assert text is not None
    return text.decode()


def assert_dead_letter(letter: Output, value: bytes | None, told: str, origin: str) -> None:
    """Assert that a letter is the original, with Connect's headers, the reason among them."""
    assert (letter.key, letter.value) == (b"m", value)
    assert list(letter.headers)[:2] == [("trace", b"7"), ("empty", None)]
    headers = {name.removeprefix(PREFIX): text for name, text in letter.headers}
    where = (headers["topic"], headers["partition"], headers["offset"])
    assert b" ".join(part or b"" for part in where).decode() == origin
    assert headers["exception.class.name"]
    found = reason(letter)
    assert told in found or re.search(told, found), found


@pytest.mark.parametrize("name", BAD_ROWS)
@pytest.mark.parametrize("first", [True, False], ids=["unknown model", "known model"])
def test_a_bad_row_is_rejected_as_it_came_and_good_ones_are_kept(name: str, first: bool) -> None:
    value, told = BAD_ROWS[name]
    driver = Driver() if first else known()
    start = driver.partition.next_offset["predictions"]
    driver.fold(
        "predictions",
        [record(start, good(500)), record(start + 1, value), record(start + 2, good(501))],
    )
    if first:  # its types are known after these, and what waited is read
        driver.fold("predictions", [record(start + 3 + n, good(n)) for n in range(100)])
    found = letters(driver)
    assert len(found) == 1
    where = f"predictions 0 {start + 1}"
    if "features[" in reason(found[0]):  # what msgspec calls a feature while none is known
        told = told.replace("features.a", "features[...]")
    assert_dead_letter(found[0], value, told, where)
    tally = driver.partition.tallies["predictions"]
    assert (tally.observed, tally.rejected) == (102, rows_in(value or b""))


@pytest.mark.parametrize("name", BAD_LABELS)
def test_a_bad_label_is_rejected_as_it_came_and_good_ones_are_kept(name: str) -> None:
    value, told = BAD_LABELS[name]
    if name == "no model":
        value = b'{"id": "x", "ts_ms": 5, "label": 1}'
    driver = Driver()
    driver.fold(
        "labels",
        [record(0, label("m", "1", 5, 1)), record(1, value), record(2, label("m", "2", 5, 1))],
    )
    assert len(letters(driver)) == 1
    assert_dead_letter(letters(driver)[0], value, told, "labels 0 1")
    tally = driver.partition.tallies["labels"]
    assert (tally.observed, tally.rejected) == (2, 1)


@pytest.mark.parametrize("source", ["outcomes", "alerts"])
@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b'{"kind": "party"}', b'{"kind": "fence"}', b'{"told_ms": 1}', DEEP],
)
def test_nonsense_in_our_own_topics_is_rejected_too(source: Source, value: bytes | None) -> None:
    driver = Driver()
    driver.feed_back()
    driver.fold(source, [record(5, value)])
    assert len(letters(driver)) == 1
    assert_dead_letter(letters(driver)[0], value, ".", f"{source} 0 5")


def test_an_alert_dated_beyond_any_calendar_is_rejected() -> None:
    driver = Driver()
    for power in (18, 24):
        alert = {
            "incident": "i", "revision": 1, "status": "firing", "kind": "drift", "model": "m",
            "severity": "warning", "provisional": False, "version": "", "title": "", "advice": "",
            "since_ms": 0, "told_ms": 10**power, "series": [], "reference_windows": 3,
            "cooldown_ms": 5, "evidence": {
                "topic": "t", "partition": 0, "first_offset": 0, "last_offset": 0, "windows": 1,
                "rows": 1,
            },
        }  # fmt: skip
        driver.fold("alerts", [record(power, json.dumps(alert | {"model": str(power)}).encode())])
    assert len(letters(driver)) == 2


def test_a_frame_loses_its_bad_rows_alone_and_they_can_be_mended_and_sent_again() -> None:
    driver = known()
    rows = [good(n) for n in range(200, 206)]
    spoilt = json.loads(frame(rows))
    spoilt["features"]["a"][1] = "many"
    spoilt["ts_ms"][4] = None
    spoilt["extra"] = {"kept": "out"}
    driver.fold("predictions", [record(100, json.dumps(spoilt).encode())])
    (letter,) = letters(driver)
    tally = driver.partition.tallies["predictions"]
    assert (tally.observed, tally.rejected) == (104, 2)
    assert "at `$.features.a` in row 1 of the frame" in reason(letter)

    mended = json.loads(letter.value or b"")
    assert mended["ids"] == ["g201", "g204"]
    mended["features"]["a"][0], mended["ts_ms"][1] = 100.5, 204
    driver.fold("predictions", [record(101, json.dumps(mended).encode())])
    assert (tally.observed, tally.rejected) == (106, 2)
    labels = [label("m", f"g{n}", 300, 1) for n in range(200, 206)]
    driver.fold("labels", [record(n, value) for n, value in enumerate(labels)])
    assert driver.partition.join.counts.pairs == 6
    assert driver.partition.join.counts.duplicate_predictions == 0


def test_a_frame_of_labels_loses_its_bad_rows_alone() -> None:
    driver = known()
    spoilt = json.loads(frame([label("m", f"g{n}", 5, 1) for n in range(5)]))
    spoilt["labels"][2] = None
    spoilt["ids"][3] = 3
    driver.fold("labels", [record(0, json.dumps(spoilt).encode())])
    (letter,) = letters(driver)
    assert "at `$.label` in row 2 of the frame" in reason(letter)
    assert json.loads(letter.value or b"") == {
        "model": "m",
        "ids": ["g2", 3],
        "ts_ms": [5, 5],
        "labels": [None, 1],
    }
    assert driver.partition.join.counts.pairs == 3


@pytest.mark.parametrize("source", ["labels", "predictions"])
def test_of_a_frame_only_the_rows_of_a_wrong_clock_are_rejected(source: Source) -> None:
    driver = known()
    rows = [label("m", f"g{n}", 5, 1) if source == "labels" else good(200 + n) for n in range(3)]
    spoilt = json.loads(frame(rows))
    spoilt["ts_ms"][1] = NOON_MS + DAY_MS + 1
    driver.fold(source, [record(100, json.dumps(spoilt).encode())])
    (letter,) = letters(driver)
    assert "at most a day after" in reason(letter)
    assert len(json.loads(letter.value or b"")["ids"]) == 1


def test_a_huge_value_is_named_by_its_origin_with_its_first_bytes() -> None:
    value = b'{"model": "' + b"m" * 1_000_000 + b'"}'
    driver = Driver()
    driver.fold("predictions", [record(3, value)])
    (letter,) = letters(driver)
    headers = dict(letter.headers)
    assert letter.value == value[:1024]
    assert headers[PREFIX + "offset"] == b"3"
    assert int(headers["tidegauge.truncated"] or b"") > 1_000_000
    assert "trace" not in headers


def test_several_thousand_features_are_too_many_for_a_model_that_is_not_known() -> None:
    features = {f"f{n}": 1.0 for n in range(3000)}
    driver = Driver()
    values = [row("m", "x", 5, features, 0.5), frame([row("m", "x", 5, features, 0.5)])]
    driver.fold("predictions", [record(n, value) for n, value in enumerate(values)])
    assert [reason(letter) for letter in letters(driver)] == [
        "expected at most 2000 features - at `$.features`"
    ] * 2


def test_of_many_features_the_first_200_are_watched() -> None:
    driver = Driver()
    features = {f"f{n}": 1.0 for n in range(1500)}
    value = row("m", "x", 5, features, 0.5)
    driver.fold("predictions", [record(n, value) for n in range(100)])
    columns = driver.partition.rows["predictions"].reader.columns["m", ""]
    assert columns.numeric == tuple(f"f{n}" for n in range(200))


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", "a\nb", "", "score", "rank(a)", "größe", "\U0001f600"]
)
def test_no_name_of_a_feature_stops_the_fold(name: str) -> None:
    driver = Driver()
    values = [row("m", str(n), n, {name: n, "ok": 1}, 0.5) for n in range(1200)]
    driver.fold("predictions", [record(n, value) for n, value in enumerate(values)])
    driver.fold("features", [record(n, value) for n, value in enumerate(values)])
    assert letters(driver) == []
    restored = Partition.restore(0, SETTINGS, driver.partition.snapshot())
    assert restored.tallies["predictions"].observed == 1200


def test_rows_without_any_feature_stop_nothing() -> None:
    driver = Driver()
    for source in ("features", "predictions"):
        values = [row("m", str(n), n, {}, 0.5) for n in range(35_000)]
        driver.fold(source, [record(n, value) for n, value in enumerate(values)])
    reports = published(driver.outputs, "windows")
    assert [r["rows"] for r in reports if r["source"] == "features"] == [500] * 70


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=4) | st.integers(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(WORDS),
                        inner,
                        max_size=7,
                    )
                ),
                max_leaves=20,
            ).map(lambda found: json.dumps(found).encode()),
        ),
        max_size=5,
    )
)
def test_nothing_that_is_sent_stops_the_fold(values: list[bytes]) -> None:
    for driver in (Driver(), known()):
        sources: tuple[Source, ...] = ("predictions", "features", "labels", "outcomes", "alerts")
        for source in sources:
            start = driver.partition.next_offset[source] + 10
            driver.fold(source, [record(start + n, value) for n, value in enumerate(values)])
            tally = driver.partition.tallies[source]
            assert driver.partition.next_offset[source] == start + len(values) or not values
            assert tally.records <= len(values) + 103
        Partition.restore(0, SETTINGS, driver.partition.snapshot())


def test_a_header_without_a_value_survives_the_snapshot() -> None:
    driver = known(5)  # which wait for their types
    restored = Partition.restore(0, SETTINGS, driver.partition.snapshot())
    assert restored.rows["predictions"].waiting() == 5


@cache
def reference() -> Reference:
    spec = MonitorSpec(model="m", windows=WindowSpec(rows=50))
    return learn_reference(spec, "", [("predictions", good(n)) for n in range(250)])


def test_rows_that_wait_for_their_types_are_read_when_a_reference_says_them() -> None:
    driver = known(7)
    driver.change("m", "", None, reference())
    driver.fold("predictions", [record(7, good(7))])
    tally = driver.partition.tallies["predictions"]
    assert tally.observed == 8
    assert driver.partition.rows["predictions"].waiting() == 0


def test_rows_that_wait_are_read_before_those_that_follow_whatever_model_comes_between() -> None:
    driver = Driver()
    other = [row("other", str(n), n, {"a": 1}, 0.5) for n in range(101)]
    driver.fold("predictions", [record(n, value) for n, value in enumerate(other)])
    driver.fold("predictions", [record(101 + n, good(n)) for n in range(7)])
    driver.change("m", "", None, reference())
    driver.fold("predictions", [record(108, other[0])])  # the reference holds, no row came yet
    restored = Partition.restore(0, SETTINGS, driver.partition.snapshot())
    again = [record(n, value) for n, value in enumerate(other)]
    restored.rebuild_join("predictions", again + [record(101 + n, good(n)) for n in range(7)])
    rest = [record(109, other[1]), record(110, good(7)), record(111, good(8))]
    for partition in (driver.partition, restored):
        partition.fold("predictions", rest)
        assert partition.rows["predictions"].waiting() == 0
        assert partition.tallies["predictions"].observed == 101 + 7 + 2 + 2
        monitor = partition.rows["predictions"].monitors["m", ""]
        monitor.settle()
        window = monitor.bounds
        assert (window.rows, window.first_offset, window.last_offset) == (9, 101, 111)
        assert len(partition.join.stores["m"].predictions[""]) == 9
    assert restored.join.counts == driver.partition.join.counts


@pytest.mark.parametrize("at_ms", [NOON_MS, -1, 1 << 48, 1 << 60])
def test_a_mostly_bad_topic_is_told_once_and_resolved_once(at_ms: int) -> None:
    driver = Driver()
    values = [b"{"] * 260 + [label("m", "x", 5, 1)] * 1500
    driver.fold("labels", [record(n, value, timestamp=at_ms) for n, value in enumerate(values)])
    told, over = published(driver.outputs, "alerts")
    assert (told["status"], over["status"]) == ("firing", "resolved")
    assert told["incident"] == over["incident"]
    assert (told["revision"], over["revision"]) == (1, 2)
    assert (told["kind"], told["severity"], told["model"]) == ("quality", "critical", "")
    assert told["evidence"] | {"topic": ""} == {
        "topic": "",
        "partition": 0,
        "first_offset": 0,
        "last_offset": 99,
        "windows": 1,
        "rows": 100,
    }
    assert "could not be read" in told["title"]


def test_an_incident_of_a_topic_lasts_while_a_third_of_it_is_bad() -> None:
    driver = Driver()
    values = [b"{"] * 100 + [b"{", label("m", "x", 5, 1), label("m", "x", 5, 1)] * 100
    driver.fold("labels", [record(n, value) for n, value in enumerate(values)])
    assert [alert["status"] for alert in published(driver.outputs, "alerts")] == ["firing"]


def test_more_model_versions_than_can_be_watched_are_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tidegauge.streams.monitor.rows.MAX_MODELS", 2)
    driver = Driver()
    values = [row(f"m{n}", "x", 5, {"a": 1}, 0.5) for n in (1, 2, 3, 1)]
    driver.fold("predictions", [record(n, value) for n, value in enumerate(values)])
    assert [reason(letter) for letter in letters(driver)] == [
        "expected at most 2 model versions in a partition"
    ]
    assert driver.partition.next_offset["predictions"] == 4
