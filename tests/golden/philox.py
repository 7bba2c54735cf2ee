"""Philox 4x32-10 and the counters of kernels/philox.h, written from the paper and from kernels/random.md.

Imported by the scripts beside it that record what is drawn.
"""
import math
import struct

MASK = 0xFFFFFFFF
USES = dict(weights=1, order=2, view=3, mask=4, dropout=5, window=6, few_labels=7, token=8, noise=9, made_up=10,
            slice=11, clusters=12, test=255)


def philox(counter, key):
    """Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": ten rounds, Weyl sequence on the key."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def draw(seed, use, step, sample, slot):
    """128 bits from the top: use (8), step's upper 24, slot (32), sample (32), step's lower 32."""
    assert 0 <= step < 1 << 56 and 0 <= sample <= MASK and 0 <= slot <= MASK
    bits = USES[use] << 120 | (step >> 32) << 96 | slot << 64 | sample << 32 | step & MASK
    return philox(struct.unpack("<4I", bits.to_bytes(16, "little")), struct.unpack("<2I", seed.to_bytes(8, "little")))


# The authors' known answers (Random123's kat_vectors).
assert philox((0, 0, 0, 0), (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
assert philox((MASK,) * 4, (MASK,) * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
assert philox((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)) == [
    0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def normals(seed, use, step, sample, count):
    """Box and Muller 1958: a block gives two neighbouring numbers, from 24 bits each."""
    numbers = []
    for pair in range((count + 1) // 2):
        words = draw(seed, use, step, sample, pair)
        length = math.sqrt(-2 * math.log(((words[0] >> 8) + 0.5) / 2**24))
        numbers += [length * f(2 * math.pi * (words[1] >> 8) / 2**24) for f in (math.cos, math.sin)]
    return numbers[:count]


def direction(seed, step, number, dim):
    """Of unit length."""
    numbers = normals(seed, "slice", step, number, dim)
    return [x / math.sqrt(sum(y * y for y in numbers)) for x in numbers]
