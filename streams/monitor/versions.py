"""Which control each model version of a partition was given, and from where the next may hold."""

from collections.abc import Mapping

from tidegauge.schemas.outcomes import ControlChange
from tidegauge.streams.monitor.control.control import control, with_adopted
from tidegauge.streams.monitor.intake.columns import RowSource
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.rows import RowMonitors


class Versions:
    """Keeps the controls that were journaled, and lets each take effect at its offset."""

    def __init__(self, rows: Mapping[RowSource, RowMonitors]) -> None:
        self.digests: dict[Key, str] = {}  # of what the journal holds last
        self.spread: dict[Key, bool] = {}  # whether a version's first record had another key
        # The ends of the logs when this owner came: a former one may have told what lies before.
        self.told: Mapping[RowSource, int] = {}
        self._rows = rows

    def earliest_change(self, key: Key, at: Mapping[Source, int]) -> tuple[int, int]:
        """Return from which offsets on a new control may hold, given where the sources are.

        They are of ``predictions`` and of ``features``. Of a model version that was met before, it
        may hold only after what a former owner may have told, and not before what an earlier
        change waits for: what is told stands, and the newest wins.
        """
        told = self.told if key in self.digests else {}
        found = {
            source: rows.earliest_change(key, max(at[source], told.get(source, 0)))
            for source, rows in self._rows.items()
        }
        return found["predictions"], found["features"]

    def schedule(self, entry: ControlChange) -> None:
        """Let what the journal holds take effect at the offsets it names."""
        key = entry.model, entry.version
        new = control(entry.model, entry.spec, entry.reference, entry.adopted)
        self.digests[key] = with_adopted(new.digest, new.adopted)
        self.spread[key] = entry.spread
        self._rows["predictions"].schedule(entry.predictions_offset, key, new)
        self._rows["features"].schedule(entry.features_offset, key, new)
