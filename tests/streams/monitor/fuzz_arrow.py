"""Reads mutated Arrow frames, in a process of its own, so that a crash is seen.

python -m tests.streams.monitor.fuzz_arrow 100000 7
"""

import random
import sys

import pyarrow as pa

from tests.streams.monitor.arrow import frame, stream
from tests.streams.monitor.test_arrow_frames import FEATURES, KEY, ROWS, reader, shown

VARIANTS = [
    stream({**ROWS, **FEATURES}),
    stream({**ROWS, **FEATURES}, rows=1),
    stream({**ROWS, "features.c": pa.array(["DE", None, "FR"]).dictionary_encode()}, rows=2),
    stream({**ROWS, "id": pa.array(["a", "b", "a"]).dictionary_encode()}),
    stream({**ROWS, "ts_ms": pa.array([1, 2, 3], pa.timestamp("us", "UTC"))}),
    stream({"id": ["a" * 300] * 3, "ts_ms": [1] * 3, "prediction": [1] * 3}, compression="zstd"),
]
EDGES = (0, 1, 127, 128, 255)


def mutated(chance: random.Random) -> bytes:
    """Return a stream of which some bytes are others, doubled or gone."""
    value = bytearray(chance.choice(VARIANTS))
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(value))
        kind = chance.random()
        if kind < 0.45:
            value[at] = chance.choice(EDGES)
        elif kind < 0.9:
            value[at] ^= 1 << chance.randrange(8)
        elif kind < 0.95:
            del value[at : at + chance.choice((1, 8, 64))]
        else:
            value[at:at] = value[at : at + 8]
    return bytes(value)


def main(count: int, seed: int) -> None:
    """Read so many; what is accepted is read as the JSON frame that it stands for."""
    chance, accepted = random.Random(seed), 0
    for n in range(count):
        value = mutated(chance)
        batch = reader().read([frame(n, value)], {KEY})
        shown(batch)  # what was accepted can be looked at
        accepted += bool(batch.blocks)
    print(f"{accepted} of {count} accepted")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
