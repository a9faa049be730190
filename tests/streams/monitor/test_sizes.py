"""Whatever comes in, what goes out fits into a record."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.driver import SETTINGS, Driver, published
from tests.streams.monitor.logs import NOON_MS
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import DetectorSpec, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.references import Reference
from tidegauge.schemas.topics import OUTPUT_BYTES
from tidegauge.schemas.windows import WindowReport
from tidegauge.streams.monitor.dry_run import MAX_BYTES as MAX_CONTROL
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.intake.columns import MAX_NAME, MAX_WATCHED
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import LoggedRecord, OfflineLog
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.sizes import MAX_BYTES, bounded, size
from tidegauge.streams.monitor.verdict.incidents import LISTED

WIDE = "\U0001f600"  # four bytes in UTF-8, one character
SPEC = MonitorSpec(
    model=WIDE * 200, windows=WindowSpec(rows=50), reference=ReferenceSpec(windows=3)
)


def names(count: int) -> list[str]:
    return [f"{n:03}" + WIDE * (MAX_NAME - 3) for n in range(count)]


def frame(n: int, columns: dict[str, list[Any]], version: str = "") -> bytes:
    body = {
        "model": SPEC.model,
        "version": version or WIDE * 100,
        "ids": [f"{n}-{k}" for k in range(50)],
        "ts_ms": [NOON_MS + 50 * n + k for k in range(50)],
        "predictions": [0.5] * 50,
        "features": columns,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def widest_log() -> OfflineLog:
    """Return a log in which every series of 200 features with the longest names moves at once."""
    log, rng = OfflineLog(Lookup([SPEC])), np.random.default_rng(1)
    columns = names(MAX_WATCHED)
    for n in range(8):
        moved = n > 3
        features: dict[str, list[Any]] = {}
        for place, name in enumerate(columns):
            if place % 2:
                features[name] = [rng.normal() + (1e9 if moved else 0) for _ in range(50)]
            else:
                value = f"{n}" + WIDE * 5000 if moved else "a"
                features[name] = [value] * 25 + ([None] * 25 if moved else ["b"] * 25)
        log.append("predictions", SPEC.model.encode(), frame(n, features))
    return log


def test_alerts_reports_and_requests_at_their_largest_fit() -> None:
    log = widest_log()
    assert {"alerts", "windows", "outcomes"} <= {output.topic for output in log.outputs}
    assert max(map(size, log.outputs)) < MAX_BYTES
    alert = max(published(log.outputs, "alerts"), key=lambda alert: len(json.dumps(alert)))
    assert len(alert["series"]) == LISTED
    assert alert["more_series"] > MAX_WATCHED
    assert not alert["shortened"]
    assert len(alert["title"]) < 2000
    examples = [example for alarm in alert["series"] for example in alarm["examples"]]
    assert all(len(example) <= 100 for example in examples)


@pytest.mark.parametrize(
    ("topic", "kind", "field"), [("alerts", Alert, "context"), ("windows", WindowReport, "columns")]
)
def test_what_still_does_not_fit_is_replaced_by_a_short_one_that_says_so(
    topic: str, kind: Any, field: str
) -> None:
    output = next(output for output in widest_log().outputs if output.topic == topic)
    body = json.loads(output.value or b"")
    body[field] = {"x" * OUTPUT_BYTES: {"reference": 1, "current": 1, "count": 1, "missing": 0}}
    (short,) = bounded([replace(output, value=json.dumps(body).encode())])
    assert size(short) < 10_000
    told = msgspec.json.decode(short.value or b"", type=kind)
    assert told.shortened
    assert getattr(told, field) == {}
    assert short.headers == output.headers


def test_pairs_with_the_longest_ids_are_split_among_journal_entries() -> None:
    driver = Driver()
    ids = [f"{n:08}" + WIDE * 504 for n in range(4000)]
    rows = [{"model": "m", "id": i, "ts_ms": NOON_MS} for i in ids]
    for source, field in (("predictions", "prediction"), ("labels", "label")):
        values = [json.dumps(row | {field: 1}).encode() for row in rows]
        driver.fold(source, [LoggedRecord(n, NOON_MS, b"m", v) for n, v in enumerate(values)])  # type: ignore[arg-type] # both are sources
    entries = [o for o in driver.outputs if o.topic == "outcomes"]
    assert max(map(size, entries)) < 1_000_000
    paired = [i for o in entries for i in getattr(read_entry(o.value), "ids", [])]
    assert paired == ids


def test_a_control_that_would_not_fit_into_the_journal_is_refused() -> None:
    values = ",".join(["1"] * 400_000)  # two bytes each as it comes, four as it is written
    raw = (
        '{"model": "m", "rows": 1, "windows": {"rows": 1000}, "first_ts_ms": 0, "last_ts_ms": 0,'
        f'"series": {{"rank(a)": {{"values": [{values}], "sd": 1, "shown": 1}}}}}}'
    )
    assert len(raw) < MAX_CONTROL
    reference = msgspec.json.decode(raw, type=Reference)
    with pytest.raises(ValueError, match="reference: expected at most 900000 bytes"):
        Partition(0, SETTINGS).control_change("m", "", choose(None, reference))


def test_detectors_that_would_take_all_memory_are_refused() -> None:
    def spec(count: int) -> MonitorSpec:
        chosen = [
            DetectorSpec(kind="adwin", series=[f"rank(a{n})"], parameters={"max_buckets": 100_000})
            for n in range(count)
        ]
        return MonitorSpec(model="m", detectors=chosen)

    with pytest.raises(ValueError, match=r"bytes at most, got .* - at `\$.detectors\[1\]"):
        Partition(0, SETTINGS).control_change("m", "", choose(spec(500), None))
    Partition(0, SETTINGS).control_change("m", "", choose(spec(1), None))


@pytest.mark.parametrize("field", ["windows: 1180591620717411303424", "count: 1e300"])
def test_a_budget_beyond_reason_is_refused(field: str) -> None:
    name, _, value = field.partition(": ")
    raw = f'{{"model": "m", "false_alarms": {{"{name}": {value}}}}}'.encode()
    with pytest.raises(msgspec.ValidationError, match=rf"at `\$.false_alarms.{name}`"):
        msgspec.json.decode(raw, type=MonitorSpec)


def test_a_long_category_is_told_apart_from_others_that_begin_alike() -> None:
    rows = [{"c": "x" * 5000 + str(n % 2)} for n in range(200)]
    driver = Driver({"m": MonitorSpec(model="m", windows=WindowSpec(rows=1000))})
    values = [
        json.dumps({"model": "m", "id": f"{n}", "ts_ms": n, "prediction": 1, "features": features})
        for n, features in enumerate(rows)
    ]
    driver.fold(
        "predictions", [LoggedRecord(n, NOON_MS, b"m", v.encode()) for n, v in enumerate(values)]
    )
    part, *_ = driver.partition.rows["predictions"].monitors["m", ""].window.parts
    assert [len(value) for value in part.counted[0].places] == [100, 100]
    assert part.counted[0].times == [100, 100]


def test_an_empty_text_is_a_missing_value() -> None:
    values = [
        json.dumps(
            {
                "model": "m",
                "id": f"{n}",
                "ts_ms": n,
                "prediction": 1,
                "features": {"c": "a" * (n % 2)},
            }
        )
        for n in range(1000)
    ]
    driver = Driver({"m": MonitorSpec(model="m", windows=WindowSpec(rows=1000))})
    driver.fold(
        "predictions", [LoggedRecord(n, NOON_MS, b"m", v.encode()) for n, v in enumerate(values)]
    )
    (report,) = published(driver.outputs, "windows")
    assert (report["columns"]["c"]["count"], report["columns"]["c"]["missing"]) == (500, 500)


HUGE = b"1180591620717411303424"  # 2 ** 70
SPOILT = {
    "uneven columns": ("outcomes", b'"ts_ms":[', b'"ts_ms":[7,'),
    "an offset beyond 64 bits": ("outcomes", b'"label_offsets":[0', b'"label_offsets":[' + HUGE),
    "a cool-down beyond 64 bits": ("alerts", b'"cooldown_ms":null', b'"cooldown_ms":' + HUGE),
    "a revision beyond 64 bits": ("alerts", b'"revision":1', b'"revision":' + HUGE),
    "a time beyond the calendar": ("alerts", b'"told_ms":1', b'"told_ms":91000000000000001'),
}


@pytest.mark.parametrize("name", SPOILT)
def test_one_bad_byte_in_what_we_wrote_ourselves_is_rejected_and_no_more(name: str) -> None:
    topic, was, now = SPOILT[name]
    log = widest_log()
    labels = {"model": SPEC.model, "ids": ["0-0"], "ts_ms": [NOON_MS], "labels": [1]}
    log.append("labels", SPEC.model.encode(), json.dumps(labels).encode())
    (value, *_) = [o.value for o in log.outputs if o.topic == topic and was in (o.value or b"")]
    assert value is not None
    before = len(log.outputs)
    log.append(topic, b"m", value.replace(was, now, 1))  # type: ignore[arg-type] # both are sources
    assert [output.topic for output in log.outputs[before:]] == ["rejected"]
    log.partition.snapshot()


def test_an_output_without_a_body_is_left_alone() -> None:
    nothing = Output("rejected", None, None)
    assert list(bounded([nothing])) == [nothing]
