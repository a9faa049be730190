"""Reads snapshots of every layout there was."""

import msgspec

from tidegauge.streams.monitor.layouts import layout_1, layout_2
from tidegauge.streams.monitor.snapshot import LAYOUT, Part, RootState, Snapshot

_PART = msgspec.msgpack.Decoder(Part)
_TREE = msgspec.msgpack.Decoder(layout_2.Tree)


class _Layout(msgspec.Struct):
    layout: int


def read_snapshot(snapshot: Snapshot) -> tuple[RootState, list[Part]]:
    """Return what a root and its parts hold; ValueError where they cannot be read."""
    layout = msgspec.msgpack.decode(snapshot.root, type=_Layout).layout
    if layout == LAYOUT:
        root = msgspec.msgpack.decode(snapshot.root, type=RootState)
        return root, [_PART.decode(part) for part in snapshot.parts.values()]
    if layout not in (1, 2):
        raise ValueError(f"snapshot: expected layout 1 to {LAYOUT}, got {layout}")
    tree, parts = _TREE.decode(snapshot.root), map(_TREE.decode, snapshot.parts.values())
    return layout_2.read(tree, layout_1.split(tree) if layout == 1 else parts)
