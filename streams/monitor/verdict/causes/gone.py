"""A feature no longer comes."""

from tidegauge.streams.monitor.verdict.causes.base import LEAST, Cause, Evidence
from tidegauge.streams.monitor.words import cut, listed, moment

NAMES = 100  # characters of features in a sentence


def gone(seen: Evidence) -> Cause | None:
    """Return features that no row of the window has, while the reference has them."""
    alarms = {a.feature: a for a in seen.alarms if (a.statistic, a.direction) == ("missing", "up")}
    columns = {name: seen.columns[name] for name in alarms if name in seen.columns}
    names = [name for name, own in columns.items() if own.count == 0 and own.missing >= LEAST]
    if not names:
        return None
    told = listed([cut(name) for name in names], NAMES)
    since = moment(min(alarms[name].since_ms for name in names))
    come, it = ("come", "they are") if len(names) > 1 else ("comes", "it is")
    return Cause(
        "gone",
        f"{told} no longer {come}: no row has a value",
        f"Look at what fills {told} since {since}, and whether {it} sent under another name. "
        "Scores made without are suspect.",
        seen.series(*names),
    )
