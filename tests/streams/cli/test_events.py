from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import orjson
import pytest
import typer

from tidegauge.schemas import cloudevents, rejected
from tidegauge.schemas.alerts import ALERT_TYPE, Alert, Evidence, Figure, SeriesAlarm
from tidegauge.schemas.retraining import RETRAIN_TYPE, RetrainingRequest
from tidegauge.schemas.windows import WINDOW_TYPE, SeriesReport, WindowReport
from tidegauge.streams.cli.events import NoEventError, read_event

DAY_MS = 86_400_000
ALERT = Alert(
    incident="i",
    revision=1,
    status="firing",
    kind="drift",
    severity="critical",
    provisional=True,
    model="fraud",
    version="3",
    title="fraud: since 1 Jan 2013 amount moved up",
    advice="Check the source.",
    since_ms=15_706 * DAY_MS,
    told_ms=15_707 * DAY_MS + 3_600_000,
    series=[
        SeriesAlarm(
            series="rank(amount)",
            feature="amount",
            statistic="rank",
            detector="mixture",
            direction="up",
            effect=0.5,
            gate=0.2,
            value=Figure(reference=1.0, current=2.0),
            since_ms=15_706 * DAY_MS,
            told_ms=15_707 * DAY_MS,
        )
    ],
    evidence=Evidence(topic="t", partition=0, first_offset=1, last_offset=2, windows=1, rows=10),
    reference_windows=30,
)
ALERT_OF_ANOTHER = msgspec.structs.replace(ALERT, model="churn")
REQUEST = RetrainingRequest(
    model="fraud",
    version="3",
    incident="i",
    alert="a",
    reason="fraud: since 1 Jan 2013 amount moved up",
    requested_ms=15_707 * DAY_MS,
    train_from_ms=15_706 * DAY_MS,
    train_to_ms=15_707 * DAY_MS,
    quiet_until_ms=15_714 * DAY_MS,
)


WINDOW = WindowReport(
    model="fraud",
    version="3",
    source="outcomes",
    window=47,
    state="provisional",
    first_ts_ms=15_706 * DAY_MS,
    last_ts_ms=15_707 * DAY_MS + 3_600_000,
    first_offset=0,
    last_offset=9,
    rows=1000,
    late=2,
    observed=48_000,
    columns={},
    series={
        "loss": SeriesReport(value=0.5, state="firing"),
        "error": SeriesReport(value=0.1, state="pending"),
        "range(amount)": SeriesReport(value=0.1, state="pending"),
        "missing(amount)": SeriesReport(value=0.0, state="quiet"),
    },
    metrics={"roc_auc": 0.8125, "f1": None},
)
LETTER = rejected.headers(
    topic="t", partition=3, offset=7, reason="Expected `int`, got `str` - at `$.ts_ms`", error="E"
)


@dataclass
class Read:
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = field(default_factory=list)
    key: bytes | None = b"fraud"
    offset: int = 0
    timestamp: int = 0


def headers(type: str) -> list[tuple[str, bytes]]:
    return cloudevents.headers(id="x", type=type, source="s", subject="fraud", time_ms=0)


def read(body: object, type: str = ALERT_TYPE) -> Read:
    return Read(msgspec.json.encode(body), headers(type))


def test_an_alert_is_a_line_with_its_time_severity_and_status() -> None:
    line = read_event("alerts", read(ALERT)).text()
    assert line.startswith("2 Jan 2013 01:00 UTC ")
    assert "critical firing" in line
    assert line.endswith(
        "fraud: since 1 Jan 2013 amount moved up. [provisional: short reference] Check the source."
    )


def test_a_retraining_request_is_a_line_with_the_rows_to_train_on() -> None:
    line = read_event("retraining", read(REQUEST, RETRAIN_TYPE)).text()
    assert line == (
        "2 Jan 2013            retrain fraud on rows from 1 Jan 2013 00:00 to 2 Jan 2013 00:00 "
        "UTC, as fraud: since 1 Jan 2013 amount moved up"
    )


def test_a_window_is_a_line_with_its_rows_what_stands_out_and_its_metrics() -> None:
    line = read_event("windows", read(WINDOW, WINDOW_TYPE)).text()
    assert line == (
        "2 Jan 2013 01:00 UTC  fraud@3 outcomes window 47 (provisional): 1,000 labelled rows since "
        "1 Jan 2013; 2 of them late; firing: loss; pending: label - score, share of amount "
        "out of range; roc_auc 0.812"
    )


def test_a_window_in_which_nothing_stands_out_is_short() -> None:
    calm = msgspec.structs.replace(
        WINDOW, version="", source="features", late=0, series={}, metrics={}
    )
    line = read_event("windows", read(calm, WINDOW_TYPE)).text()
    assert line.endswith("fraud features window 47 (provisional): 1,000 rows since 1 Jan 2013")


def test_a_dead_letter_is_a_line_with_its_origin_and_reason() -> None:
    letter = read_event("rejected", Read(b"secret", LETTER, timestamp=15_706 * DAY_MS))
    assert letter.text() == (
        "1 Jan 2013            t[3] offset 7, key fraud: Expected `int`, got `str` - at `$.ts_ms`"
    )
    assert orjson.loads(letter.json()) == {
        "key": "fraud",
        "topic": "t",
        "partition": "3",
        "offset": "7",
        "error": "E",
        "reason": "Expected `int`, got `str` - at `$.ts_ms`",
    }


def test_a_dead_letter_that_was_sent_again_shows_its_latest_origin() -> None:
    again = rejected.headers(topic="t", partition=3, offset=8, reason="r", error="E")
    letter = read_event("rejected", Read(b"", [*LETTER, *again], key=None))
    assert "offset 8" in letter.text()
    assert letter.model == ""


def test_what_is_no_dead_letter_says_why() -> None:
    with pytest.raises(NoEventError, match=r"expected a header __connect\.errors\.topic, got none"):
        read_event("rejected", Read(b""))


def test_a_second_delivery_has_the_id_of_the_first() -> None:
    first = read_event("alerts", read(ALERT))
    assert first.id == "x"
    letters = [read_event("rejected", Read(b"", LETTER, timestamp=at)).id for at in (1, 2)]
    assert letters[0] == letters[1]
    bare = [(name, value) for name, value in headers(ALERT_TYPE) if name != "ce_id"]
    values = [msgspec.json.encode(a) for a in (ALERT, ALERT, ALERT_OF_ANOTHER)]
    ids = [read_event("alerts", Read(value, bare)).id for value in values]
    assert ids[0] == ids[1] != ids[2]


def test_the_severity_has_a_colour_until_it_is_resolved() -> None:
    resolved = msgspec.structs.replace(ALERT, status="resolved")
    assert typer.style("critical firing  ", fg="red") in read_event("alerts", read(ALERT)).text()
    assert typer.style("critical resolved", fg="green") in (
        read_event("alerts", read(resolved)).text()
    )


def test_json_is_a_structured_cloudevent_on_one_line_with_all_that_came() -> None:
    body = orjson.loads(msgspec.json.encode(ALERT)) | {"new": [1]}
    pretty = Read(orjson.dumps(body, option=orjson.OPT_INDENT_2), headers(ALERT_TYPE))
    line = read_event("alerts", pretty).json()
    assert "\n" not in line
    assert orjson.loads(line) == {
        "specversion": "1.0",
        "id": "x",
        "type": ALERT_TYPE,
        "source": "s",
        "subject": "fraud",
        "time": "1970-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "data": body,
    }


def test_a_name_cannot_steer_the_terminal() -> None:
    nasty = msgspec.structs.replace(ALERT, title="a\nb\x1b[2Jc\u202e")
    line = read_event("alerts", read(nasty)).text()
    assert "a\\nb\\x1b[2Jc\\u202e" in line
    assert line.count("\x1b") == 2, "other than the colour's own two"


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (Read(b"{}"), f"expected an event of type {ALERT_TYPE}, got none"),
        (
            read(REQUEST, RETRAIN_TYPE),
            f"expected an event of type {ALERT_TYPE}, got {RETRAIN_TYPE}",
        ),
        (Read(b"{}", headers(ALERT_TYPE)), "missing required field"),
        (Read(b"nope", headers(ALERT_TYPE)), "malformed"),
        (Read(b'{"incident": "\xff"}', headers(ALERT_TYPE)), "utf-8"),
        (Read(None, headers(ALERT_TYPE)), "truncated"),
    ],
)
def test_what_is_no_alert_says_why(record: Read, told: str) -> None:
    with pytest.raises(NoEventError) as caught:
        read_event("alerts", record)
    assert told in str(caught.value)
