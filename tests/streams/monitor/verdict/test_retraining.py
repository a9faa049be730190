"""Retraining is asked for on sound rows: those with labels, and not of a broken pipe."""

from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.driver import SETTINGS
from tests.streams.monitor.traffic import MINUTE_MS, REFERENCE, ROWS, Traffic, traffic
from tidegauge.schemas.alerts import Alert, Evidence, Figure, SeriesAlarm
from tidegauge.schemas.retraining import RetrainingRequest
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.verdict.retraining import MAX_FAULTS, Retraining

BEGINS = REFERENCE + 20
WINDOW_MS = 100
WEEK_MS = 7 * WINDOW_MS  # cool-down


def alert(
    series: str,
    since: int,
    told: int,
    status: Literal["firing", "ongoing", "resolved"] = "firing",
    **changes: Any,
) -> Alert:
    """Return an alert of one series; times in windows."""
    over = told * WINDOW_MS if status == "resolved" else None
    statistic = series.partition("(")[0]
    alarm = SeriesAlarm(
        series=series, feature=series, statistic=statistic, detector="mixture", direction="up",
        effect=1.0, gate=0.2, value=Figure(reference=0, current=1), since_ms=since * WINDOW_MS,
        told_ms=told * WINDOW_MS, resolved_ms=over,
    )  # fmt: skip
    is_loss = statistic == "loss"
    told_of = Alert(
        incident=series, revision=told, status=status, severity="critical", provisional=False,
        kind="performance" if is_loss else "quality", model="m", version="1", title="", advice="",
        since_ms=since * WINDOW_MS, told_ms=told * WINDOW_MS, resolved_ms=over,
        labelled_ms=told * WINDOW_MS if is_loss else None, series=[alarm], reference_windows=90,
        evidence=Evidence(
            topic="", partition=0, first_offset=0, last_offset=0, windows=told - since, rows=1
        ),
        cooldown_ms=WEEK_MS if is_loss and not over else None,
    )  # fmt: skip
    return msgspec.structs.replace(told_of, **changes)


def asked(retraining: Retraining, *alerts: Alert) -> list[tuple[int, int, list[list[int]]]]:
    """Return from when to when rows are named, and when they are left out, in windows."""
    outputs = [output for one in alerts for output in retraining.fold(one)]
    requests = [msgspec.json.decode(o.value or b"", type=RetrainingRequest) for o in outputs]
    return [
        (
            request.train_from_ms // WINDOW_MS,
            request.train_to_ms // WINDOW_MS,
            [[at // WINDOW_MS for at in span] for span in request.excluded],
        )
        for request in requests
    ]


PIPES = ["range(x)", "missing(x)", "unseen(x)"]


@pytest.mark.parametrize("pipe", PIPES)
def test_no_request_while_the_pipe_of_the_same_time_is_broken(pipe: str) -> None:
    found = asked(Retraining(), alert(pipe, 20, 22), alert("loss", 20, 24))
    assert found == []
    assert asked(Retraining(), alert("loss", 20, 24)) == [(20, 24, [])]


def test_starts_are_estimates_and_may_differ_by_two_windows() -> None:
    assert asked(Retraining(), alert("range(x)", 22, 24), alert("loss", 20, 24)) == []


def test_drift_told_before_a_pipe_broke_has_another_cause() -> None:
    """Whichever is read first: a season that lasts, or a join that fails at its end."""
    season, broken = alert("rank(x)", 10, 15), alert("missing(y)", 80, 82)
    both = [*season.series, *broken.series]
    joined = msgspec.structs.replace(broken, incident="rank(x)", cause="join", series=both)
    assert asked(Retraining(), joined, alert("loss", 20, 24)) == [(20, 24, [])]
    assert asked(Retraining(), joined, alert("loss", 80, 84)) == []


def test_what_lies_before_a_longer_fault_is_no_change_of_its_own() -> None:
    """The start of a change is an estimate; the fault may well be all of it."""
    assert asked(Retraining(), alert("range(x)", 25, 26), alert("loss", 20, 34)) == []
    found = asked(Retraining(), alert("range(x)", 32, 33), alert("loss", 20, 34))
    assert found == [(20, 30, [])]


def test_a_loss_that_lasts_asks_for_rows_from_after_the_pipe_was_mended() -> None:
    begun = alert("range(x)", 20, 22), alert("loss", 20, 24)
    over = alert("range(x)", 20, 40, "resolved")
    lasts = alert("loss", 20, 48, "ongoing")
    assert asked(Retraining(), *begun, over, lasts) == [(40, 48, [])]
    assert asked(Retraining(), *begun, over, alert("loss", 20, 40, "ongoing")) == []


def test_a_new_normal_is_fit_to_train_on_from_its_beginning() -> None:
    over = alert("range(x)", 20, 60, "resolved")
    settled = [msgspec.structs.replace(own, settled_ms=3000) for own in over.series]
    over = msgspec.structs.replace(over, series=settled)
    lasts = alert("loss", 20, 62, "ongoing")
    assert asked(Retraining(), alert("range(x)", 20, 22), over, lasts) == [(30, 62, [])]


def test_rows_of_a_pipe_that_was_broken_meanwhile_are_left_out() -> None:
    faults = [
        alert("range(x)", 40, 42), alert("range(x)", 40, 50, "resolved"),
        alert("missing(x)", 70, 72), alert("missing(x)", 70, 80, "resolved"),
    ]  # fmt: skip
    assert asked(Retraining(), *faults, alert("loss", 20, 90)) == [(20, 90, [[38, 50], [68, 80]])]


def test_rows_from_before_a_pipe_that_is_broken_still_are_named() -> None:
    assert asked(Retraining(), alert("range(x)", 60, 62), alert("loss", 20, 70)) == [(20, 58, [])]


def test_what_is_broken_for_another_version_or_only_cannot_be_read_stops_no_training() -> None:
    for other in (
        alert("range(x)", 20, 22, version="2"),
        alert("range(x)", 20, 22, model="other"),
        alert("unpaired", 20, 22),
        alert("rejected", 20, 22),
        alert("volume", 20, 22),
    ):
        assert asked(Retraining(), other, alert("loss", 20, 24)) == [(20, 24, [])]


def test_a_reference_that_is_not_one_thing_stops_no_training() -> None:
    pipe = alert("range(x)", 0, 10)
    inside = [msgspec.structs.replace(own, detector="self_normalised") for own in pipe.series]
    pipe = msgspec.structs.replace(pipe, series=inside)
    assert asked(Retraining(), pipe, alert("loss", 5, 12)) == [(5, 12, [])]


def test_a_range_without_rows_is_never_named() -> None:
    loss = alert("loss", 20, 24)
    for labelled in (0, 1999, 2000):  # labels are later than the change is old
        assert asked(Retraining(), msgspec.structs.replace(loss, labelled_ms=labelled)) == []


def test_the_same_rows_are_asked_for_once() -> None:
    retraining = Retraining()
    later = [alert("range(x)", 60, 62), *(alert("loss", 20, at, "ongoing") for at in (70, 90, 110))]
    assert asked(retraining, alert("loss", 20, 24), *later) == [(20, 24, []), (20, 58, [])]


def test_what_is_remembered_of_a_model_is_bounded() -> None:
    retraining = Retraining()
    for at in range(2 * MAX_FAULTS):
        retraining.fold(alert(f"range({at})", at, at + 1))
    assert [fault.from_ms for fault in retraining.faults["m"]] == [
        at * WINDOW_MS for at in range(MAX_FAULTS, 2 * MAX_FAULTS)
    ]


def thousandfold(rows: Any, rng: np.random.Generator) -> None:
    """Let a unit be wrong, and the model say much to it."""
    rows.amount = rows.amount * 1000
    rows.score = np.full(ROWS, 0.99).astype(object)


def never_right(rows: Any, rng: np.random.Generator) -> None:
    rows.score = rng.uniform(0.98, 0.999, ROWS).astype(object)


def sent(*faults: tuple[int, Any]) -> Traffic:
    stream = traffic(5, labelled=True).send(BEGINS)
    for windows, fault in faults:
        stream.send(windows, *([fault] if fault else []))
    return stream


def test_a_wrong_unit_that_the_model_sees_is_nothing_to_train_on() -> None:
    stream = sent((10, thousandfold), (60, None))
    assert {alert["kind"] for alert in stream.alerts()} == {"quality", "performance"}
    assert stream.retraining() == []


def test_the_worst_loss_asks_once_it_has_lasted() -> None:
    stream = sent((30, never_right))
    told = [alert for alert in stream.alerts() if alert["kind"] == "performance"]
    assert {alarm["detector"] for alarm in told[0]["series"]} == {"blatant"}
    request = stream.retraining()[0]
    assert request["train_from_ms"] == told[0]["since_ms"] < request["train_to_ms"]
    lasting = [alert for alert in told if "and still on" in alert["title"]]
    windows = [(a["told_ms"] - told[0]["told_ms"]) // MINUTE_MS for a in lasting]
    assert windows == [7, 14, 28][: len(windows)] and len(windows) >= 2
    assert request["requested_ms"] <= lasting[0]["told_ms"]


def test_what_was_blatant_and_is_over_never_asks() -> None:
    stream = sent((1, never_right), (60, None))
    assert [alert["kind"] for alert in stream.alerts()][:1] == ["performance"]
    assert stream.retraining() == []


def test_what_is_remembered_outlives_a_restart() -> None:
    stream = sent((10, thousandfold))
    own = stream.log.partition
    restored = Partition.restore(0, SETTINGS, own.snapshot())
    assert own.retraining.faults["m"]
    assert vars(restored.retraining) == vars(own.retraining)
