"""Which share of the rows a slice has."""

from collections.abc import Mapping

from tidegauge.schemas.alerts import Figure, SeriesAlarm
from tidegauge.streams.monitor.intake.block import Flags
from tidegauge.streams.monitor.series.base import Share
from tidegauge.streams.monitor.series.view import Slices, View
from tidegauge.streams.monitor.words import cut, moment, percents


class SliceShare(Share):
    """The share of rows that are in a slice which the spec declares."""

    statistic = "share"
    kind = "drift"
    reads = (Slices,)
    about = "a slice that the spec declares has more of the rows, or fewer"
    needs_profile = False
    least_sd = 0.1  # with the gate of 0.2: two points of share

    def hits(self, view: View) -> Flags:
        """Return which rows are in which slices."""
        assert isinstance(view, Slices)
        return view.inside

    def phrase(self, alarm: SeriesAlarm, context: Mapping[str, Figure]) -> str:
        """Return what it did, as part of a sentence."""
        before, now = percents(alarm.value.reference, alarm.value.current)
        went = "fallen" if alarm.direction == "down" else "risen"
        return f"{_name(alarm)} has {went} from {before} to {now} of rows"

    def subject(self, feature: str) -> str:
        """Return what is back within tolerance, once it is over."""
        return f"share of rows by {cut(feature)}"

    def advice(self, alarm: SeriesAlarm) -> str:
        """Return what to do about it, as a sentence."""
        name, since = _name(alarm), moment(alarm.since_ms)
        if alarm.direction == "down":
            return (
                f"Look for the client or the job that sends rows with {name}: fewer of them come "
                f"since {since}. What else moved may be what they leave behind."
            )
        return (
            f"Look for where the further rows with {name} come from since {since}, and whether the "
            "model is as good there as elsewhere."
        )


def _name(alarm: SeriesAlarm) -> str:
    return cut(alarm.slice or alarm.feature)
