import msgspec
import pytest

from tidegauge.schemas.alerts import Alert, Evidence, Figure, SeriesAlarm
from tidegauge.streams.monitor.verdict import wording

NOON_MS = 1_366_286_400_000  # 18 Apr 2013


def alarm(statistic: str, feature: str, told_ms: int = NOON_MS) -> SeriesAlarm:
    return SeriesAlarm(
        series=feature if statistic in ("loss", "error") else f"{statistic}({feature})",
        feature=feature,
        statistic=statistic,
        detector="mixture",
        direction="up",
        effect=1.0,
        gate=0.2,
        value=Figure(reference=0.1, current=0.5),
        since_ms=told_ms - 3_600_000,
        told_ms=told_ms,
    )


@pytest.mark.parametrize(
    ("statistic", "feature", "figure"),
    [
        ("rank", "temp", "temp"),
        ("range", "temp", "share of temp out of range"),
        ("missing", "temp", "share of rows without temp"),
        ("unseen", "dest", "share of dest not in the reference"),
        ("loss", "loss", "loss"),
        ("error", "error", "label - score"),
        ("rejected", "rejected", "share of rows that could not be read"),
    ],
)
def test_what_is_over_is_told_without_names_of_ours(
    statistic: str, feature: str, figure: str
) -> None:
    told = wording.resolution("m@1", [alarm(statistic, feature)], NOON_MS)
    back = "back within tolerance of the reference on 18 Apr 2013 12:00 UTC"
    assert told == f"m@1: {figure} {back}"


def test_an_end_names_three_series_and_counts_the_rest() -> None:
    told = wording.resolution("m", [alarm("rank", name) for name in "abcde"], NOON_MS)
    assert told.startswith("m: a, b, c and 2 more back within")


ALERT = Alert(
    incident="i",
    revision=2,
    status="ongoing",
    kind="drift",
    severity="warning",
    provisional=False,
    model="m",
    version="1",
    title="m@1: since 18 Apr 2013 11:00 UTC a moved up, from 0.1 to 0.5 on average; and all else",
    advice="Look.",
    since_ms=NOON_MS - 3_600_000,
    told_ms=NOON_MS + 7_200_000,
    series=[alarm("rank", "a"), alarm("range", "b", NOON_MS + 7_200_000)],
    evidence=Evidence(topic="t", partition=0, first_offset=1, last_offset=2, windows=1, rows=10),
    reference_windows=90,
)


def test_an_incident_that_goes_on_tells_what_is_new_and_not_what_was_told() -> None:
    assert wording.sentence(ALERT) == (
        "m@1: since 18 Apr 2013 13:00 UTC 50% of b lies far outside the range of the reference "
        "(incident of 18 Apr 2013 11:00 UTC). Look."
    )


def test_an_incident_that_begins_tells_its_title() -> None:
    begun = msgspec.structs.replace(ALERT, status="firing")
    assert wording.sentence(begun) == f"{begun.title}. Look."


@pytest.mark.parametrize(
    ("statistic", "told"), [("unseen", " (Secret Street 5)"), ("unpaired", ": Secret Street 5")]
)
def test_a_line_of_the_log_names_no_values_of_rows(statistic: str, told: str) -> None:
    holds_one = msgspec.structs.replace(alarm(statistic, "dest"), examples=["Secret Street 5"])
    series = [alarm("rank", "a"), holds_one]
    title = wording.title("m@1", series, {}, ALERT.since_ms)
    alert = msgspec.structs.replace(ALERT, series=series, title=title)
    assert "Secret Street 5" in alert.title
    assert wording.log_line(alert) == "warning ongoing: " + title.replace(told, "")
    assert wording.log_line(ALERT) == f"warning ongoing: {ALERT.title}"
