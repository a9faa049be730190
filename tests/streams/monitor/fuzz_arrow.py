"""Reads mutated Arrow frames, in a process of its own, so that a crash is seen.

python -m tests.streams.monitor.fuzz_arrow 100000 7
"""

import random
import struct
import sys

import numpy as np
import pyarrow as pa

from tests.streams.monitor.arrow import frame, stream
from tests.streams.monitor.test_arrow_frames import FEATURES, KEY, ROWS, reader, shown
from tests.streams.monitor.test_arrow_kernel import accepts

WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
VARIANTS = [
    stream({**ROWS, **FEATURES}),
    stream({**ROWS, **FEATURES, "id": pa.array(ROWS["id"], pa.large_string())}),
    *(stream({**ROWS, "features.n": pa.array([7, None, 9], kind)}) for kind in WHOLE),
    stream({**ROWS, "prediction": [True, False, True], "features.late": pa.nulls(3)}),
    stream(
        {**ROWS, "features.x": pa.array([1, np.nan, 2], pa.float32()), "remark": ["ä", "", "b"]}
    ),
    stream({**ROWS, **FEATURES}, rows=1),
    stream({**ROWS, "features.c": pa.array(["DE", None, "FR"]).dictionary_encode()}, rows=2),
    stream({**ROWS, "features.c": pa.array(["DE", None, "DE"]).dictionary_encode()}),
    stream(
        {
            **{**ROWS, "id": pa.array(["a", "b", "a"]).dictionary_encode()},
            "features.c": pa.array(["DE", "ä", "F"], pa.large_string()).dictionary_encode(),
        }
    ),
    stream({**ROWS, "ts_ms": pa.array([1, 2, 3], pa.timestamp("us", "UTC"))}),
    stream({**ROWS, "ts_ms": pa.array([1, 2, 3], pa.timestamp("s"))}),
    stream({"id": ["a" * 300] * 3, "ts_ms": [1] * 3, "prediction": [1] * 3}, compression="zstd"),
]
EDGES = (0, 1, 127, 128, 255)
STEPS = (-64, -8, -1, 1, 8, 64)
WORDS = (-(2**63), -(2**31), -8, -1, 0, 1, 2, 3, 4, 8, 2**31, 2**62, 2**63 - 8, 2**63 - 1)


def mutated(chance: random.Random) -> bytes:
    """Return a stream of which some bytes are others, doubled or gone."""
    value = bytearray(chance.choice(VARIANTS))
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(value) - 8)
        kind = chance.random()
        if kind < 0.3:
            value[at] = chance.choice(EDGES)
        elif kind < 0.6:
            value[at] ^= 1 << chance.randrange(8)
        elif kind < 0.9:  # places, lengths and counts are words
            form, at = chance.choice((("<q", at & ~7), ("<i", at & ~3)))
            (word,) = struct.unpack_from(form, value, at)
            word = chance.choice((word + chance.choice(STEPS), chance.choice(WORDS)))
            size = struct.calcsize(form)
            value[at : at + size] = (word % 2 ** (8 * size)).to_bytes(size, "little")
        elif kind < 0.95:
            del value[at : at + chance.choice((1, 8, 64))]
        else:
            value[at:at] = value[at : at + 8]
    return bytes(value)


def main(count: int, seed: int) -> None:
    """Read so many; what is accepted is read as the JSON frame that it stands for."""
    chance, accepted, plain = random.Random(seed), 0, 0
    for n in range(count):
        value = mutated(chance)
        plain += accepts(value)
        batch = reader().read([frame(n, value)], {KEY})
        shown(batch)  # what was accepted can be looked at
        accepted += bool(batch.blocks)
    print(f"{accepted} of {count} accepted, {plain} as they are")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
