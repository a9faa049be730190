import re
from typing import Literal

import msgspec
import numpy as np
import orjson
import pytest

from tests.streams.monitor.traffic import REFERENCE, Rows, new_country, share, traffic
from tidegauge.schemas.alerts import Alert, Evidence, Figure, SeriesAlarm
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.streams.monitor import words
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.series.registry import SERIES
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
    told = wording.resolution("m@1", [alarm(statistic, feature)], {}, NOON_MS)
    back = "back within tolerance of the reference on 18 Apr 2013 12:00 UTC"
    assert told == f"m@1: {figure} {back}"


def test_an_end_names_five_series_and_counts_the_rest() -> None:
    told = wording.resolution("m", [alarm("rank", name) for name in "abcdefg"], {}, NOON_MS)
    assert told.startswith("m: a, b, c, d, e and 2 more back within")


def test_an_incident_that_goes_on_tells_what_is_new_and_counts_what_was_told() -> None:
    begun, later_ms = alarm("rank", "a"), NOON_MS + 7_200_000
    alarms = [begun, alarm("range", "b", later_ms)]
    assert wording.title("m@1", alarms, {}, begun.since_ms, later_ms) == (
        "m@1: since 18 Apr 2013 13:00 UTC 50% of b lies far outside the range of the reference "
        "(usually 10%) (incident of 18 Apr 2013 11:00 UTC, 1 other series)"
    )
    assert "unit of b" in wording.advice(alarms, later_ms)


def test_a_shift_that_has_grown_names_its_incident() -> None:
    told = wording.title("m", [alarm("rank", "a")], {}, NOON_MS - 86_400_000, NOON_MS)
    assert told.endswith("on average (incident of 17 Apr 2013 12:00 UTC)")


def test_what_a_spec_declares_is_said_before_larger_shifts_that_it_does_not() -> None:
    large = [msgspec.structs.replace(alarm("rank", f"x{n}"), effect=9.0) for n in range(9)]
    told = wording.title("m", [*large, alarm("check", "end >= start")], {}, NOON_MS, NOON_MS)
    assert "of rows break the check end >= start; " in told


def test_an_incident_that_begins_tells_all_of_it_and_advises_on_the_largest() -> None:
    alarms = [msgspec.structs.replace(alarm("missing", "b"), since_ms=NOON_MS), alarm("rank", "a")]
    assert wording.title("m", alarms, {}, alarms[1].since_ms, NOON_MS) == (
        "m: since 18 Apr 2013 11:00 UTC b is missing in 50% of rows (reference 10%); a moved up, "
        "from 0.100 to 0.500 on average"
    )
    advice = wording.advice(alarms, NOON_MS)
    assert "pipeline that fills b: it has been absent more often since 18 Apr 2013 11:00" in advice


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
    told_ms=NOON_MS,
    series=[alarm("rank", "a"), alarm("range", "b")],
    evidence=Evidence(topic="t", partition=0, first_offset=1, last_offset=2, windows=1, rows=10),
    reference_windows=90,
)


def test_a_line_is_the_title_and_what_to_do_until_it_is_over() -> None:
    assert wording.sentence(ALERT) == f"{ALERT.title}. Look."
    resolved = msgspec.structs.replace(ALERT, status="resolved")
    assert wording.sentence(resolved) == ALERT.title


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


# --- digits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (8.6301, 8.6307, ("8.6301", "8.6307")),  # a longitude, forty metres on
        (2001.5, 2002.5, ("2001.5", "2002.5")),  # both are 2002 to the nearest even
        (1519.4, 1.5194, ("1519", "1.52")),  # grams, then kilograms
        (0.0, 0.31, ("0", "0.310")),
        (5, 5, ("5.00", "5.00")),
        (3.1e95, 4.2e95, ("3.10e95", "4.20e95")),
        (-2e-9, 3e-9, ("-2.00e-9", "3.00e-9")),
        (999.96, 12, ("1000", "12.0")),
        (None, 7.25, ("unknown", "7.25")),
        (float("nan"), 7.25, ("unknown", "7.25")),
    ],
)
def test_numbers_have_the_digits_that_tell_them_apart(
    before: float | None, now: float, told: tuple[str, str]
) -> None:
    assert words.numbers(before, now) == told


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (0.118, 0.123, ("11.8%", "12.3%")),
        (0.0, 0.034, ("0%", "3.4%")),
        (0.9991, 1.0, ("99.91%", "100%")),
        (0.4, 0.4, ("40%", "40%")),
        (None, 0.52, ("unknown", "52%")),
    ],
)
def test_shares_are_alike_only_if_they_are(
    before: float | None, now: float, told: tuple[str, str]
) -> None:
    assert words.percents(before, now) == told


def test_no_two_numbers_that_differ_are_told_alike() -> None:
    rng = np.random.default_rng(3)
    size, step = 10.0 ** rng.integers(-12, 99, 2000), 10.0 ** rng.uniform(-13, 3, 2000)
    before = rng.normal(size=2000) * size
    for pair in zip(before.tolist(), (before * (1 + step)).tolist(), strict=True):
        for texts, true in ((words.numbers(*pair), pair), (words.percents(*pair), pair)):
            assert texts[0] != texts[1]
            scale = 0.01 if "%" in texts[0] else 1.0
            shift = scale * (float(texts[1].rstrip("%")) - float(texts[0].rstrip("%")))
            assert shift == pytest.approx(true[1] - true[0], rel=0.5)
            assert max(map(len, texts)) <= 25


# --- length ---------------------------------------------------------------------------------------


WATCHED = [name for name, series in SERIES.items() if series.is_watched]
ENDLESS = "y" * 300


def lengthy(statistic: str, direction: Literal["up", "down"] = "up") -> SeriesAlarm:
    return msgspec.structs.replace(
        alarm(statistic, ENDLESS),
        direction=direction,
        value=Figure(reference=1.00000001e-9, current=1.00000002e-9),
        examples=[f"{n}{ENDLESS}" for n in range(5)] if statistic != "unpaired" else [],
    )


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("statistic", WATCHED)
def test_no_sentence_is_longer_than_a_screen_holds(
    statistic: str, direction: Literal["up", "down"]
) -> None:
    long = lengthy(statistic, direction)
    name = wording.model_name(ENDLESS, ENDLESS)
    settled = msgspec.structs.replace(long, settled_ms=NOON_MS)
    told = [
        wording.title(name, [long] * 60, {}, 0, long.told_ms),
        wording.title(name, [*[lengthy("rank")] * 70, long], {}, 0),
        wording.resolution(name, [long] * 60, {}, NOON_MS),
        wording.resolution(name, [settled, long] * 30, {}, NOON_MS),
        wording.resolution(name, [settled] * 60, {}, NOON_MS),
        wording.advice([long] * 60, NOON_MS),
    ]
    assert max(map(len, told)) <= 300
    assert [text for text in told if "y" * 61 in text] == []
    assert " more" in told[0]
    assert " more" in told[2]


def test_new_values_that_do_not_fit_are_counted() -> None:
    told = msgspec.structs.replace(alarm("unseen", "x"), examples=[c * 40 for c in "abcd"])
    assert SERIES["unseen"].phrase(told, {}).endswith(f"({'a' * 40}, {'b' * 40} and 2 more)")


def test_what_is_told_of_a_bad_row_holds_no_long_value() -> None:
    told = msgspec.structs.replace(
        alarm("rejected", "predictions"), examples=[f"ids[3]: {ENDLESS}: expected text"]
    )
    phrase = SERIES["rejected"].phrase(told, {})
    assert phrase.endswith(f"could not be read, mostly: ids[3]: {'y' * 59}… expected text")


def test_a_title_counts_the_series_that_do_not_fit() -> None:
    alarms = [alarm("rank", name * 55) for name in "abcde"]
    told = wording.title("m", alarms, {}, alarms[0].since_ms)
    assert len(told) <= 300
    assert "a" * 55 in told
    assert told.endswith("; and 3 more")
    short = wording.title("m", [alarm("rank", name) for name in "abcdefg"], {}, alarms[0].since_ms)
    assert short.endswith("; e moved up, from 0.100 to 0.500 on average; and 2 more")


def test_a_name_keeps_its_version() -> None:
    assert wording.model_name("fraud", "7") == "fraud@7"
    assert wording.model_name("fraud", "") == "fraud"
    long = wording.model_name("z" * 200, "2026-11-26")
    assert len(long) == 60
    assert long.endswith("…@2026-11-26")


# --- words by task and direction ------------------------------------------------------------------


def error(task: str, label: Figure, score: Figure) -> str:
    """Return what is said of labels that are no longer what a model says."""
    value = Figure(reference=0.0, current=(label.current or 0) - (score.current or 0))
    told = msgspec.structs.replace(alarm("error", "error"), task=task, value=value)
    return SERIES["error"].phrase(told, {"label": label, "score": score})


def test_only_labels_of_a_classification_are_positive() -> None:
    figures = Figure(reference=0.31, current=0.42), Figure(reference=0.3, current=0.32)
    assert error("classification", *figures) == (
        "42% of labels are positive where the model says 32% (reference 31% and 30%)"
    )
    assert error("regression", *figures) == (
        "labels are 0.420 on average where the model says 0.320 (reference 0.310 and 0.300)"
    )


def test_labels_and_scores_have_the_digits_that_show_the_shift() -> None:
    figures = Figure(reference=0.5, current=0.5006), Figure(reference=0.5, current=0.5)
    assert "50.06% of labels are positive where the model says 50%" in error(
        "classification", *figures
    )
    assert "labels are 0.5006 on average where the model says 0.5000" in error(
        "regression", *figures
    )


def test_without_labels_the_difference_itself_is_told() -> None:
    told = SERIES["error"].phrase(alarm("error", "error"), {})
    assert told == "label - score went from 0.100 to 0.500"


@pytest.mark.parametrize(
    ("task", "loss"),
    [("classification", "log loss"), ("regression", "mean absolute error"), ("", "loss")],
)
def test_a_loss_is_called_what_it_is(task: str, loss: str) -> None:
    told = msgspec.structs.replace(alarm("loss", "loss"), task=task)
    assert SERIES["loss"].phrase(told, {}) == f"the model's {loss} went from 0.100 to 0.500"


def ranks(direction: Literal["up", "down"], before: float | None, now: float | None) -> str:
    value = Figure(reference=before, current=now)
    told = msgspec.structs.replace(alarm("rank", "skew"), direction=direction, value=value)
    return SERIES["rank"].phrase(told, {})


def test_a_mean_that_goes_against_the_values_is_told_as_it_is() -> None:
    assert ranks("up", 8.2, 0.9) == (
        "most values of skew are higher than in the reference, though the mean fell from 8.20 to "
        "0.900"
    )
    assert ranks("down", 0.9, 8.2) == (
        "most values of skew are lower than in the reference, though the mean rose from 0.900 to "
        "8.20"
    )
    assert ranks("up", 0.25, 0.25).endswith("though the mean is still 0.250")
    assert ranks("down", 8.2, 0.9) == "skew moved down, from 8.20 to 0.900 on average"
    assert ranks("down", None, 0.9) == "skew moved down, from unknown to 0.900 on average"


def test_what_has_stopped_is_nothing_to_train_on() -> None:
    stopped = msgspec.structs.replace(
        alarm("rank", "is_new"), direction="down", value=Figure(reference=0.012, current=0.0)
    )
    advice = SERIES["rank"].advice(stopped)
    assert "Do not train" in advice
    assert "retrain on data" not in advice
    centred = msgspec.structs.replace(stopped, value=Figure(reference=0.0, current=0.0))
    for other in (centred, alarm("rank", "is_new")):
        assert "retrain on data" in SERIES["rank"].advice(other)


@pytest.mark.parametrize(
    ("statistic", "phrase", "advice"),
    [
        ("missing", "x is missing in 1% of rows (reference 30%)", "it comes more often since"),
        ("range", "1% of x lies far outside the range of the reference (usually 30%)", "no longer"),
        ("unseen", "1% of x are values the reference does not have, usually 30%", "usually more"),
    ],
)
def test_a_share_that_falls_is_not_told_as_one_that_rose(
    statistic: str, phrase: str, advice: str
) -> None:
    fell = msgspec.structs.replace(
        alarm(statistic, "x"), direction="down", value=Figure(reference=0.3, current=0.01)
    )
    assert SERIES[statistic].phrase(fell, {}) == phrase
    assert advice in SERIES[statistic].advice(fell)
    assert advice not in SERIES[statistic].advice(alarm(statistic, "x"))


# --- through the core -----------------------------------------------------------------------------


def test_an_alert_of_a_regression_between_nought_and_one_is_told_as_one() -> None:
    spec = MonitorSpec(model="room", windows=WindowSpec(rows=50), task="regression")
    log, rng = OfflineLog(Lookup([spec])), np.random.default_rng(5)
    for n in range(40):
        head: dict[str, object] = {"model": "room", "ids": [f"{n}-{i}" for i in range(50)]}
        labels = rng.normal(0.75 if n >= 35 else 0.6, 0.04, 50).round(3).tolist()
        head |= {"ts_ms": [n * 3_600_000] * 50}
        log.append("predictions", b"room", orjson.dumps(head | {"predictions": [0.6] * 50}))
        log.append("labels", b"room", orjson.dumps(head | {"labels": labels}))
    values = [output.value or b"" for output in log.outputs if output.topic == "alerts"]
    first = msgspec.json.decode(values[0], type=Alert)
    assert {one.task for one in first.series} == {"regression"}
    assert re.search(r"labels are 0\.7\d+ on average where the model says 0\.600 ", first.title)
    assert "mean absolute error went from" in first.title
    assert "positive" not in first.title


def test_a_share_that_grows_still_names_its_values() -> None:
    sent = traffic(3).send(REFERENCE).send(14, new_country)

    def more(rows: Rows, rng: np.random.Generator) -> None:
        rows.country[share(rng, 0.9)] = "XX"

    sent.send(14, more)
    first, *grown = [a for a in sent.alerts() if a["series"][0]["statistic"] == "unseen"]
    assert (first["status"], grown[-1]["status"]) == ("firing", "ongoing")
    assert re.search(
        r"8\d% of country are values the reference does not have \(XX\)", grown[-1]["title"]
    )
    assert "(incident of" in grown[-1]["title"]
