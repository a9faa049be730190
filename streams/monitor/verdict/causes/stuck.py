"""A number stands still."""

from tidegauge.streams.monitor.verdict.causes.base import LEAST, Cause, Evidence
from tidegauge.streams.monitor.words import cut, moment, number


def stuck(seen: Evidence) -> Cause | None:
    """Return a number that was one value in the whole window, and several in the reference."""
    for alarm in seen.alarms:
        name = alarm.feature
        own, profile = seen.columns.get(name), seen.profiles.get(name)
        if own is None or profile is None or profile.sd == 0 or own.count < LEAST:
            continue
        if own.low is not None and own.low == own.high:
            at = f"constant at {number(own.low)}"
            return Cause(
                "stuck",
                f"{cut(name)} is {at} ({number(profile.low)} to {number(profile.high)} in the "
                "reference)",
                f"Look at what fills {cut(name)}: it has been {at} since {moment(alarm.since_ms)}, "
                "as if it had stopped. Do not train on such rows.",
                seen.series(name),
            )
    return None
