"""Specs as teams write them, in YAML: read with defaults, refused with the path of the fault."""

import msgspec
import pytest

from tidegauge.schemas.monitors import MonitorsFile, MonitorSpec, WindowSpec, milliseconds
from tidegauge.schemas.outcomes import ControlChange, Fence, JournalEntry, Outcomes
from tidegauge.schemas.references import CategoryProfile, NumericProfile, Reference, SeriesProfile

FULL = b"""
monitors:
  - model: fraud
    features:
      amount: {type: numeric}
      note: {type: ignore}
    windows: {every: 1d, offset: 9h}
    reference: {windows: 90, adopt: 60d}
    false_alarms: {count: 1, windows: 90}
    effect: {features: 0.2, outcomes: 0.1}
    detectors:
      - {kind: adwin, series: [loss], parameters: {delta: 0.002}}
      - {kind: page_hinkley, 'on': rows, series: [rank(amount)]}
    task: classification
    threshold: 0.3
    metrics: [roc_auc, log_loss]
    labels: {horizon: 60d}
    retraining: {'on': [performance, drift], cooldown: 30d}
  - model: house
"""


def read(text: bytes) -> MonitorsFile:
    return msgspec.yaml.decode(text, type=MonitorsFile)


def test_a_file_with_everything_is_read_and_comes_back_from_json() -> None:
    fraud, house = read(FULL).monitors
    assert fraud.windows == WindowSpec(every="1d", offset="9h")
    assert [detector.on for detector in fraud.detectors] == ["windows", "rows"]
    assert fraud.retraining.on == ("performance", "drift")
    assert house == MonitorSpec(model="house")
    for spec in (fraud, house):
        assert msgspec.json.decode(msgspec.json.encode(spec), type=MonitorSpec) == spec


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("monitors: []", r"length >= 1 - at `\$.monitors`"),
        ("monitors: [{}]", r"missing required field `model` - at `\$.monitors\[0\]`"),
        ("monitors: [{model: m, treshold: 1}]", r"unknown field `treshold` - at .*\[0\]"),
        ("monitors: [{model: m, threshold: 2}]", r"<= 1.* - at `\$.monitors\[0\].threshold`"),
        ("monitors: [{model: m, windows: {rows: 5}}]", r">= 10 - at `.*\[0\].windows.rows`"),
        ("monitors: [{model: m, windows: {}}]", r"either rows or every - at `.*windows`"),
        (
            "monitors: [{model: m, windows: {rows: 50, every: 1d}}]",
            r"either rows or every - at `.*windows`",
        ),
        ("monitors: [{model: m, windows: {every: 0s}}]", r"above zero - at `.*windows`"),
        ("monitors: [{model: m, windows: {every: 1 day}}]", r"regex .* - at `.*windows.every`"),
        ("monitors: [{model: m, reference: {windows: 2}}]", r">= 3 - at `.*reference.windows`"),
        ("monitors: [{model: m, false_alarms: {count: 0}}]", r"> 0.* - at `.*false_alarms.count`"),
        (
            "monitors: [{model: m, features: {a: {type: number}}}]",
            r"Invalid enum value 'number' - at `.*features\[...\].type`",
        ),
        (
            "monitors: [{model: m, detectors: [{kind: adwin, series: []}]}]",
            r"length >= 1 - at `.*detectors\[0\].series`",
        ),
        ("monitors: [{model: m, metrics: [speed]}]", r"'speed' - at `.*metrics\[0\]`"),
    ],
)
def test_a_fault_is_named_by_its_path(fault: str, reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason):
        read(fault.encode())


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("0ms", 0),
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("9h", 32_400_000),
        ("007d", 604_800_000),
    ],
)
def test_durations_are_milliseconds(duration: str, expected: int) -> None:
    assert milliseconds(duration) == expected


@pytest.mark.parametrize(
    "duration",
    ["", "7", "d", "-1d", "1.5h", "1w", "1d ", "1d\n", "1D", "\N{ARABIC-INDIC DIGIT ONE}d"],
)
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 30s, 9h or 7d, got"):
        milliseconds(duration)


def test_a_reference_comes_back_as_it_went() -> None:
    series = SeriesProfile(values=[0.25, None], sd=0.5, shown=3.0)
    reference = Reference(
        model="m",
        version="3",
        rows=100,
        windows=WindowSpec(rows=50),
        first_ts_ms=1,
        last_ts_ms=2,
        numeric={
            "a": NumericProfile(points=[1.0], ranks=[0.0], mean=1.0, sd=0.5, low=0.0, high=2.0)
        },
        categorical={"c": CategoryProfile(shares={"DE": 1.0})},
        series={"rank(a)": series},
        task="regression",
        outcomes={"loss": series},
    )
    assert msgspec.json.decode(msgspec.json.encode(reference), type=Reference) == reference


def test_entries_of_the_journal_are_told_apart_by_their_kind() -> None:
    entries: list[JournalEntry] = [
        Fence(epoch=3),
        ControlChange(
            epoch=3, sequence=1, model="m", version="", predictions_offset=7, features_offset=0
        ),
        Outcomes(
            epoch=3, sequence=2, model="m", version="", ids=["a"], ts_ms=[5],
            prediction_ts_ms=[4], predictions=[0.5], labels=[1.0], prediction_offsets=[9],
            label_offsets=[2],
        ),
    ]  # fmt: skip
    for entry, kind in zip(entries, ("fence", "control", "outcomes"), strict=True):
        value = msgspec.json.encode(entry)
        assert msgspec.json.decode(value)["kind"] == kind
        assert msgspec.json.decode(value, type=JournalEntry) == entry
