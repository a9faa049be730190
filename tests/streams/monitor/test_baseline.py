"""With ``baseline: week`` a model is compared with the same time of the week, whatever happens."""

import json
from io import StringIO
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from tests.streams.monitor.driver import SETTINGS
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.references import Adoption, Reference
from tidegauge.streams.cli.monitors import tables
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.effective import Setting, effective
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import LoggedRecord, OfflineLog, learn_reference
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Source

DAY_MS, FIRST_DAY = 86_400_000, 19_000
REFERENCE, ROWS = 63, 60
SPEC = MonitorSpec(
    model="m",
    windows=WindowSpec(every="1d"),
    reference=ReferenceSpec(windows=REFERENCE),
    baseline="week",
    slices=["country"],
)
PLAIN = msgspec.structs.replace(SPEC, baseline=None)
AMOUNT, SLICE = "rank(amount)", "rank(amount | country = DE)"


def is_weekend(day: int) -> bool:
    return (FIRST_DAY + day) % 7 >= 5


def frames(days: range, up: float = 0.0, seed: int = 4) -> list[tuple[Source, bytes]]:
    """Return a frame of predictions, and one of labels, a day; amounts are 50, on two days 60."""
    found = list[tuple[Source, bytes]]()
    for day in days:
        rng, at = np.random.default_rng([seed, day]), (FIRST_DAY + day) * DAY_MS
        rows = ROWS // 2 if is_weekend(day) else ROWS
        amount = rng.normal(60.0 if is_weekend(day) else 50.0, 10.0, rows) + up
        score = rng.beta(2, 5, rows)
        ids, ts_ms = [f"{day}-{n}" for n in range(rows)], [at + n * 1000 for n in range(rows)]
        country = rng.choice(["DE", "FR"], rows).tolist()
        features = {"amount": amount.round(2).tolist(), "country": country}
        body = {"model": "m", "ids": ids, "ts_ms": ts_ms, "features": features}
        found.append(("predictions", json.dumps(body | {"predictions": score.tolist()}).encode()))
        labels = (rng.random(rows) < (0.5 if is_weekend(day) else score)).astype(float).tolist()
        body = {"model": "m", "ids": ids, "ts_ms": ts_ms, "labels": labels}
        found.append(("labels", json.dumps(body).encode()))
    return found


class Stream:
    """A log of days, and what is told of it."""

    def __init__(self, spec: MonitorSpec = SPEC, reference: Reference | None = None) -> None:
        self.log = OfflineLog(Lookup([spec, reference] if reference else [spec]))
        self.days = 0

    def send(self, days: int, up: float = 0.0) -> "Stream":
        for source, value in frames(range(self.days, self.days + days), up):
            self.log.append(source, b"m", value, timestamp=1 << 41)
        self.days += days
        return self

    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(o.value or b"") for o in self.log.outputs if o.topic == "alerts"]

    def reports(self) -> list[dict[str, Any]]:
        bodies = [json.loads(o.value or b"") for o in self.log.outputs if o.topic == "windows"]
        return [body for body in bodies if body["source"] == "predictions"]

    def outcomes(self) -> list[dict[str, Any]]:
        bodies = [json.loads(o.value or b"") for o in self.log.outputs if o.topic == "windows"]
        return [body for body in bodies if body["source"] == "outcomes"]

    def baseline(self) -> Setting:
        return next(e for e in effective(self.log.partition) if e.source == "predictions").settings[
            "baseline"
        ]


def first(stream: Stream, series: str = AMOUNT) -> dict[str, Any]:
    return next(a for alert in stream.alerts() for a in alert["series"] if a["series"] == series)


def built(days: int = REFERENCE, spec: MonitorSpec = SPEC) -> Reference:
    reference = learn_reference(spec, "", frames(range(days)))
    return msgspec.json.decode(msgspec.json.encode(reference), type=Reference)


def test_weekends_are_as_usual_and_a_shift_is_told_beside_what_is_usual_at_that_time() -> None:
    stream = Stream().send(REFERENCE + 42)
    assert stream.alerts() == []
    day = stream.days
    while not any(a["status"] == "firing" for a in stream.alerts()):
        stream.send(1, up=9.0)
        assert stream.days < day + 7
    alarm = first(stream)
    since = alarm["since_ms"] // DAY_MS - FIRST_DAY
    told = alarm["told_ms"] // DAY_MS - FIRST_DAY
    days = [is_weekend(at) for at in range(since, told + 1)]
    usual = np.average(np.where(days, 60.0, 50.0), weights=np.where(days, 0.5, 1.0))
    assert alarm["value"]["reference"] == pytest.approx(usual, abs=1.0)
    assert alarm["value"]["current"] == pytest.approx(usual + 9.0, abs=2.5)


def test_a_window_report_has_the_value_as_it_is() -> None:
    stream, plain = (Stream(spec).send(REFERENCE + 9) for spec in (SPEC, PLAIN))
    for series in (AMOUNT, "volume"):
        for own, other in zip(stream.reports()[-6:], plain.reports()[-6:], strict=True):
            found = own["series"][series]["value"]
            assert found == pytest.approx(other["series"][series]["value"])
    assert len({report["series"][AMOUNT]["value"] > 0.1 for report in plain.reports()[-6:]}) == 2


def test_what_follows_the_week_is_named_where_the_week_is_not_the_baseline() -> None:
    plain = Stream(PLAIN).send(REFERENCE + 2).baseline()
    assert plain.value is None
    assert plain.origin.startswith("default; baseline: week is advised, which explains ")
    assert AMOUNT in plain.origin
    aware = Stream().send(REFERENCE + 2)
    assert aware.baseline() == Setting(value="week", origin="spec")
    (own,) = [e for e in effective(aware.log.partition) if e.source == "predictions"]
    assert own.series[AMOUNT].by_week
    assert own.series[SLICE].by_week
    assert own.series["volume"].by_week
    shown = StringIO()
    console = Console(width=250, file=shown)
    for part in tables(own):
        console.print(part)
    assert "reference, by the week" in shown.getvalue()


def test_fewer_than_eight_weeks_are_learned_without_it_and_that_is_said() -> None:
    spec = msgspec.structs.replace(SPEC, reference=ReferenceSpec(windows=50))
    stream, plain = (
        Stream(one).send(60) for one in (spec, msgspec.structs.replace(spec, baseline=None))
    )
    assert "fewer than 8 weeks" in stream.baseline().origin
    own, other = stream.reports()[-1]["series"], plain.reports()[-1]["series"]
    assert own == other


def test_a_published_reference_is_compared_by_the_week_as_a_learned_one_is() -> None:
    reference = built()
    assert len(reference.series[AMOUNT].week) == 7
    assert reference.series[AMOUNT].week_shown != reference.series[AMOUNT].week
    learned = Stream().send(REFERENCE + 20)
    published = Stream(reference=reference)
    published.days = REFERENCE
    published.send(20)
    own, other = learned.reports()[-1]["series"], published.reports()[-1]["series"]
    for name in (AMOUNT, "rank(score)", "missing(amount)"):
        assert own[name]["evidence"] == pytest.approx(other[name]["evidence"], rel=0.01)
    assert published.baseline() == Setting(value="week", origin="spec")


def test_outcomes_that_follow_the_week_are_judged_by_a_published_reference_from_the_first() -> None:
    reference = built()
    assert reference.outcomes["loss"].explained is not None
    assert len(reference.outcomes["loss"].week) == 7
    longer = msgspec.structs.replace(SPEC, reference=ReferenceSpec(windows=200))
    published = Stream(longer, reference)
    published.days = REFERENCE
    published.send(10)
    assert published.outcomes()[0]["series"]["loss"]["worth"] is not None
    own = {e.source: e for e in effective(published.log.partition)}
    assert own["outcomes"].series["loss"].by_week
    plain = Stream(PLAIN).send(REFERENCE + 2)
    told = {e.source: e.settings["baseline"].origin for e in effective(plain.log.partition)}
    assert "loss to" in told["outcomes"]


def test_a_snapshot_goes_on_and_cuts_of_the_log_say_nothing() -> None:
    stream = Stream().send(REFERENCE + 30)
    before = stream.log.partition.snapshot()
    again = Partition.restore(0, SETTINGS, before)
    assert again.snapshot() == before
    stream.send(20, up=9.0)
    assert stream.alerts()
    own = [
        value
        for source, value in frames(range(stream.days - 20, stream.days), 9.0)
        if source == "predictions"
    ]
    first_offset = REFERENCE + 30
    records = [LoggedRecord(first_offset + at, 1 << 41, b"m", v) for at, v in enumerate(own)]
    outputs = [
        o for cut in (records[:7], records[7:]) for o in again.fold("predictions", cut).outputs
    ]
    goes_on = [o.value for o in outputs if o.topic == "windows"]
    told = [
        o.value
        for o in stream.log.outputs
        if o.topic == "windows" and json.loads(o.value or b"")["source"] == "predictions"
    ]
    assert len(goes_on) > 15
    assert goes_on == told[-len(goes_on) :]


def test_a_new_normal_and_its_adoption_keep_the_week() -> None:
    stream = Stream().send(REFERENCE + 14).send(REFERENCE + 40, up=9.0)
    report = stream.reports()[-1]["series"][AMOUNT]
    assert report["level_ms"] is not None
    assert report["state"] == "quiet"
    stream.log.lookup.add(Adoption(model="m", at_ms=1))
    stream.log.take_up("m", "")
    told = len(stream.alerts())
    stream.send(35, up=9.0)
    assert len(stream.alerts()) == told
    assert stream.reports()[-1]["series"][AMOUNT]["level_ms"] is None
    restored = Partition.restore(0, SETTINGS, stream.log.partition.snapshot())
    assert restored.snapshot() == stream.log.partition.snapshot()


def test_another_baseline_is_learned_anew() -> None:
    stream = Stream(PLAIN).send(REFERENCE + 5)
    stream.log.lookup.add(SPEC)
    stream.log.take_up("m", "")
    assert stream.send(2).reports()[-1]["state"] == "learning"


@pytest.mark.parametrize(
    "windows", [None, {"rows": 500}, {"every": "5h"}, {"every": "7d"}, {"every": "14d"}]
)
def test_windows_that_do_not_divide_a_week_are_refused(windows: dict[str, Any] | None) -> None:
    said = {"model": "m", "windows": windows, "baseline": "week"}
    with pytest.raises(msgspec.ValidationError, match=r"baseline: expected windows of event time"):
        msgspec.convert(said, MonitorSpec)


def test_a_published_week_of_another_length_is_refused() -> None:
    own = built()
    series = dict(own.series)
    series[AMOUNT] = msgspec.structs.replace(series[AMOUNT], week=[0.0, 1.0])
    with pytest.raises(ValueError, match="week: expected 7 numbers"):
        choose(SPEC, msgspec.structs.replace(own, series=series))
