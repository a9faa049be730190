"""Layout 1: a partition in one piece, its versions in tables, all controls in one."""

from typing import Any

import msgspec

from tidegauge.streams.monitor.control.control import Control
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.layouts.layout_2 import Tree


def split(tree: Tree) -> list[Tree]:
    """Return the parts that layout 2 would have."""
    controls = msgspec.convert(tree["controls"], list[Control])  # once, for all versions
    names = {"digest": "digests", "spread": "spread", "outcome_control": "outcome_controls"}
    own = {field: _by_key(tree[table]) for field, table in names.items()}
    performance = _by_key(tree["performance"])
    rows = {source: _Rows(tables) for source, tables in tree["rows"].items()}
    versions = [
        {field: table.get(key) for field, table in own.items()}
        | {
            "type": "version",
            "key": key,
            "controls": controls,
            "rows": {source: tables.of(key) for source, tables in rows.items()},
            "performance": performance.get(key),
        }
        for key in sorted({key for table in own.values() for key in table})
    ]
    return [*versions, {"type": "retraining", "quiet_until_ms": tree["quiet_until_ms"]}]


class _Rows:
    """The tables of one source."""

    def __init__(self, tables: Tree) -> None:
        self._changes = tables["changes"]
        names = {"control": "controls", "spread": "spread", "columns": "columns"}
        names |= {"intake": "intakes", "past": "past", "monitor": "monitors"}
        self._tables = {field: _by_key(tables[table]) for field, table in names.items()}

    def of(self, key: Key) -> Tree:
        """Return what they say of one version."""
        changes = [(offset, place) for offset, own, place in self._changes if tuple(own) == key]
        found = {field: table.get(key) for field, table in self._tables.items()}
        return found | {"changes": changes, "past": found["past"] or []}


def _by_key(table: list[tuple[list[str], Any]]) -> dict[Key, Any]:
    return {(model, version): own for (model, version), own in table}
