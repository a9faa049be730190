"""Labels of one class come late, or not at all."""

from typing import Final

from tidegauge.streams.monitor.verdict.causes.base import Cause, Evidence
from tidegauge.streams.monitor.words import moment, percent

SURE: Final = 5.0  # labels of a class that scores promise: by chance none comes once in 150


def late_labels(seen: Evidence) -> Cause | None:
    """Return that all labels of a window are of one class, where the scores say otherwise."""
    label, score = seen.columns.get("label"), seen.columns.get("score")
    alarms = [a for a in seen.alarms if a.task == "classification"]
    if not alarms or label is None or score is None or score.mean is None:
        return None
    if label.low is None or label.low != label.high:
        return None
    of_class = score.mean if label.low == 0 else 1 - score.mean
    if of_class * label.count < SURE:
        return None
    which, since = "positive" if label.low == 0 else "negative", moment(alarms[0].since_ms)
    return Cause(
        "late labels",
        f"none of the last {label.count} labels is {which} where the model says "
        f"{percent(of_class)}: labels of one class come late, or are lost",
        f"Wait for the {which} labels, and look at what sends them: as long as they are missing, "
        f"no figure of outcomes since {since} can be believed. Do not retrain.",
        [alarm.series for alarm in seen.alarms],
        passes=True,
    )
