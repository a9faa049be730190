"""What the demo tells is what is in the data: named, dated, and nothing where rows are shuffled."""

import io
import re

import msgspec
import numpy as np
import orjson
import pytest
from rich.console import Console

from tests.test_docs import claimed
from tidegauge.schemas.alerts import Alert
from tidegauge.streams.demo.flights import Flights, read_flights
from tidegauge.streams.demo.show import Findings, is_injected, plan
from tidegauge.streams.demo.stage import Received
from tidegauge.streams.demo.traffic import shuffled, with_injected_fault
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.records import Output

NAME = "flight-delay"


@pytest.fixture(scope="module")
def flights() -> Flights:
    return read_flights()


def outputs(flights: Flights) -> list[Output]:
    """Return what a worker publishes for a replay, but for Kafka."""
    planned = plan(flights, NAME)
    log = OfflineLog(Lookup([planned.spec, planned.reference]))
    for item in planned.frames:
        log.append(item.topic, NAME.encode(), orjson.dumps(item.frame))
    return log.outputs


def told(outputs: list[Output]) -> list[Alert]:
    return [
        msgspec.json.decode(output.value or b"", type=Alert)
        for output in outputs
        if output.topic == "alerts"
    ]


def date(ms: int) -> str:
    return str(np.datetime64(ms, "ms").astype("datetime64[D]"))


def test_the_drift_in_the_year_is_found_named_and_dated(flights: Flights) -> None:
    found = outputs(with_injected_fault(flights))
    alerts = told(found)
    started = [(date(a.told_ms), a.series[0].series) for a in alerts if a.status == "firing"]
    assert sorted(started) == [
        ("2013-04-13", "error"),  # late flights, told punctual
        ("2013-04-16", "hist(score)"),  # and the temperature joins it, which moves the scores
        ("2013-05-12", "error"),  # after two weeks in which they were not
        ("2013-09-22", "error"),  # as few are late as the reference has: off the summer's level
        ("2013-10-08", "range(pressure)"),  # the injected fault
        ("2013-10-09", "loss"),  # and what it does to the scores
        ("2013-12-10", "error"),  # December's storms
    ]
    injected = {a.incident for a in alerts if a.status == "firing" and is_injected(a)}
    assert len(injected) == 1
    assert sum(output.topic == "retraining" for output in found) >= 1
    assert not [output for output in found if output.topic == "rejected"]


@pytest.mark.parametrize("seed", [2013, 1])
def test_nothing_is_told_where_the_rows_are_shuffled(flights: Flights, seed: int) -> None:
    found = outputs(shuffled(flights, seed))
    assert told(found) == []
    assert sum(output.topic == "windows" for output in found) > 500


@pytest.fixture(scope="module")
def findings(flights: Flights) -> Findings:
    found = Findings()
    for output in outputs(with_injected_fault(flights)):
        if output.topic in ("alerts", "retraining"):
            found.take(Received(output.topic, output.value or b""))
    return found


def printed(findings: Findings, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    findings.tell(console)
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_people_read_severities_news_and_days_but_no_names_of_ours(
    findings: Findings, width: int
) -> None:
    text = printed(findings, width)
    story = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= width
    assert re.findall(r"(rank|range|missing|unseen)\(", story) == []
    begun = re.findall(r"● (\w+) ", story)
    assert (begun.count("critical"), begun.count("warning")) == (6, 1)
    assert "20 Apr 2013 → retrain on rows from 9 Apr 2013 07:53 to 20 Apr 2013 02:39 UTC " in story
    assert (
        "2 Jun 2013 ▲ critical flight-delay@1: since 7 Apr 2013 09:00 UTC temp moved up, from "
        "37.9 to 60.4 on average (incident of 4 Apr 2013 09:00 UTC, 3 other series)" in story
    )
    assert (  # Albuquerque, Nantucket, Martha's Vineyard, ...
        "7 Jul 2013 ▲ critical flight-delay@1: since 6 Jul 2013 09:00 UTC 1.4% of dest are values "
        "the reference does not have (TVC, ANC, ACK, MVY, ABQ)" in story
    )
    assert "since 30 Dec 2013 10:00 UTC a join or a client fails: " in story
    assert "pressure with origin = EWR looks like inHg instead of hPa" in story
    assert "✓ resolved flight-delay@1: share of pressure out of range back within" in story


def test_the_part_of_the_story_in_the_readme_is_what_is_printed(findings: Findings) -> None:
    shown = claimed("text", "demo").text.splitlines()
    begin, end = (
        next(n for n, line in enumerate(shown) if line.startswith(words))
        for words in ("13 Apr", "The same year")
    )
    lines = [line.rstrip() for line in printed(findings, 96).splitlines()]
    assert len(shown[begin:end]) > 15
    assert [line for line in shown[begin:end] if line.strip(" …") and line not in lines] == []
