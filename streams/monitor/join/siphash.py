"""A keyed hash of 128 bits, for ids: who does not know the key cannot make two that collide.

References
----------
Aumasson and Bernstein (2012), SipHash: a fast short-input PRF; the output of 128 bits is that of
their reference code.
"""

from typing import Any, Final

import numpy as np
from numba import types
from numpy.typing import NDArray

from tidegauge.detectors._jit import kernel, part
from tidegauge.streams.monitor.intake.texts import Texts

Hashes = NDArray[np.uint64]  # texts x 2

KEY_BYTES: Final = 16
ROUNDS, FINAL_ROUNDS = 2, 4
START: Final = np.array(
    [0x736F6D6570736575, 0x646F72616E646F6D ^ 0xEE, 0x6C7967656E657261, 0x7465646279746573],
    np.uint64,
)


@part
def turned(word: Any, bits: Any) -> Any:
    """Return a word with its bits turned to the left."""
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@part
def mixed(v0: Any, v1: Any, v2: Any, v3: Any) -> Any:
    """Return the state after a round."""
    v0, v2 = v0 + v1, v2 + v3
    v1, v3 = turned(v1, 13) ^ v0, turned(v3, 16) ^ v2
    v0, v2 = turned(v0, 32) + v3, v2 + v1
    v1, v3 = turned(v1, 17) ^ v2, turned(v3, 21) ^ v0
    return v0, v1, turned(v2, 32), v3


@kernel(
    types.Array(types.uint8, 1, "C", readonly=True),
    types.Array(types.int64, 2, "A", readonly=True),
    types.Array(types.uint64, 1, "C", readonly=True),
    types.Array(types.uint64, 2, "C"),
    allocates=False,
)
def sip_hash(buffer: Any, spans: Any, key: Any, found: Any) -> None:
    """Hash each text of a buffer: found[k] = the two words of spans[k] = start and length."""
    for k in range(len(spans)):
        start, length = spans[k, 0], spans[k, 1]
        v0, v1 = key[0] ^ START[0], key[1] ^ START[1]
        v2, v3 = key[0] ^ START[2], key[1] ^ START[3]
        for word in range(length // 8 + 1):  # the last one has the rest, and the length
            said = np.uint64(0)
            for at in range(8 * word, min(8 * word + 8, length)):
                said |= np.uint64(buffer[start + at]) << np.uint64(8 * (at & 7))
            if word == length // 8:
                said |= np.uint64(length & 0xFF) << np.uint64(56)
            v3 ^= said
            for _ in range(ROUNDS):
                v0, v1, v2, v3 = mixed(v0, v1, v2, v3)
            v0 ^= said
        v2 ^= np.uint64(0xEE)
        for _ in range(FINAL_ROUNDS):
            v0, v1, v2, v3 = mixed(v0, v1, v2, v3)
        found[k, 0] = v0 ^ v1 ^ v2 ^ v3
        v1 ^= np.uint64(0xDD)
        for _ in range(FINAL_ROUNDS):
            v0, v1, v2, v3 = mixed(v0, v1, v2, v3)
        found[k, 1] = v0 ^ v1 ^ v2 ^ v3


def hashes(texts: Texts, key: bytes) -> Hashes:
    """Return the hash of each text, as two words.

    Parameters
    ----------
    texts
        Ids.
    key
        16 bytes, best from a source that nobody can guess.

    Examples
    --------
    >>> hashes(Texts.of([""]), bytes(range(16))).tobytes().hex()  # of the reference code
    'a3817f04ba25a8e66df67214c7550293'
    """
    found = np.empty((len(texts), 2), np.uint64)
    sip_hash(texts.buffer, texts.spans, np.frombuffer(key, np.uint64), found)
    return found
