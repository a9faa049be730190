"""Reads snapshots of every layout there was."""

import msgspec

from tidegauge.streams.monitor.snapshot import LAYOUT, Part, RootState, Snapshot

_PART = msgspec.msgpack.Decoder(Part)


class _Layout(msgspec.Struct):
    layout: int


def read_snapshot(snapshot: Snapshot) -> tuple[RootState, list[Part]]:
    """Return what a root and its parts hold; ValueError where they cannot be read."""
    layout = msgspec.msgpack.decode(snapshot.root, type=_Layout).layout
    if layout != LAYOUT:
        raise ValueError(f"snapshot: expected layout {LAYOUT}, got {layout}")
    root = msgspec.msgpack.decode(snapshot.root, type=RootState)
    return root, [_PART.decode(part) for part in snapshot.parts.values()]
