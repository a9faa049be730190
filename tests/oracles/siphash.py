"""SipHash-2-4 with 128 bits of output, as Aumasson and Bernstein describe it, in whole numbers."""

WORD = (1 << 64) - 1


def turned(word: int, bits: int) -> int:
    """Return 64 bits turned to the left."""
    return (word << bits | word >> 64 - bits) & WORD


def rounds(v: list[int], count: int) -> None:
    """Mix the state."""
    for _ in range(count):
        v[0] = (v[0] + v[1]) & WORD
        v[1] = turned(v[1], 13) ^ v[0]
        v[0] = turned(v[0], 32)
        v[2] = (v[2] + v[3]) & WORD
        v[3] = turned(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & WORD
        v[3] = turned(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & WORD
        v[1] = turned(v[1], 17) ^ v[2]
        v[2] = turned(v[2], 32)


def sip_hash(said: bytes, key: bytes) -> bytes:
    """Return the hash of some bytes."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    magic = b"somepseudorandomlygeneratedbytes"
    v = [int.from_bytes(magic[at : at + 8], "big") for at in range(0, 32, 8)]
    v = [v[0] ^ k0, v[1] ^ k1 ^ 0xEE, v[2] ^ k0, v[3] ^ k1]
    rest = len(said) % 8
    padded = said + bytes(7 - rest) + bytes([len(said) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(v, 4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(v, 4)
    second = v[0] ^ v[1] ^ v[2] ^ v[3]
    return first.to_bytes(8, "little") + second.to_bytes(8, "little")
