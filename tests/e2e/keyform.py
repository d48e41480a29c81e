"""The form of a key value, worked out here a second time, so that the server cannot be wrong about it alone.

A value is `clvk_`, 43 characters of base62, and the CRC-32 (IEEE) of all that in six characters of base62, the most
significant first.
"""

import random
import re
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "clvk_"
RANDOM_CHARS = 43
CHECKSUM_CHARS = 6
FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARS + CHECKSUM_CHARS}}}")


def checksum(body: str) -> str:
    rest = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_CHARS):
        rest, digit = divmod(rest, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def is_well_formed(value: str) -> bool:
    return FORM.fullmatch(value) is not None and checksum(value[:-CHECKSUM_CHARS]) == value[-CHECKSUM_CHARS:]


def forged(seed: int) -> str:
    """A value that nobody was given, with a checksum that is right."""
    letters = random.Random(seed).choices(ALPHABET, k=RANDOM_CHARS)
    body = PREFIX + "".join(letters)
    return body + checksum(body)


def with_flipped_case(value: str) -> str:
    """The same value with the case of one letter of its random part changed."""
    at = next(place for place, letter in enumerate(value) if place >= len(PREFIX) and letter.isalpha())
    return value[:at] + value[at].swapcase() + value[at + 1 :]
