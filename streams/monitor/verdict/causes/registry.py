"""Every cause there is, the surest first."""

from collections.abc import Callable
from typing import Final

from tidegauge.streams.monitor.verdict.causes.base import Cause, Evidence
from tidegauge.streams.monitor.verdict.causes.clipped import clipped
from tidegauge.streams.monitor.verdict.causes.default import default
from tidegauge.streams.monitor.verdict.causes.gone import gone
from tidegauge.streams.monitor.verdict.causes.late_labels import late_labels
from tidegauge.streams.monitor.verdict.causes.lost import lost
from tidegauge.streams.monitor.verdict.causes.mismatched import mismatched, other_model
from tidegauge.streams.monitor.verdict.causes.renamed import renamed
from tidegauge.streams.monitor.verdict.causes.rounded import rounded
from tidegauge.streams.monitor.verdict.causes.shifted import shifted
from tidegauge.streams.monitor.verdict.causes.stuck import stuck
from tidegauge.streams.monitor.verdict.causes.swapped import swapped
from tidegauge.streams.monitor.verdict.causes.unfilled import unfilled
from tidegauge.streams.monitor.verdict.causes.unit import unit

CAUSES: Final[tuple[Callable[[Evidence], Cause | None], ...]] = (
    late_labels,
    unfilled,
    gone,
    renamed,
    stuck,
    clipped,
    default,
    swapped,
    shifted,
    unit,
    lost,
    rounded,
    other_model,
    mismatched,
)


def find(seen: Evidence) -> Cause | None:
    """Return what an incident looks like; None where it looks like nothing in particular."""
    return next((cause for find in CAUSES if (cause := find(seen)) is not None), None)
