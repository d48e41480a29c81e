"""Looks for secrets where none may be: in logs, and in what the server keeps on disk.

Two nets. Whatever has the form of a key value is a find, whoever made it; a process that the tests start for a
page of the documentation is held to that too. And every value and token that a reply carried to a test is looked for
as it is and in the disguises that software likes: hexadecimal, base64, and for logs the hash.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

import keyform

# Also a value that was cut short: half of one is not for a log either.
_VALUE = re.compile(rf"{keyform.PREFIX}[0-9A-Za-z]{{8,}}".encode())
_SECRET_FIELDS = frozenset({"key", "access_token", "secret"})

_known: set[str] = set()


# What secrets and their disguises are written with, and how much of one is enough to know it by.
_RUN = re.compile(rb"[0-9A-Za-z+/=_-]{20,}")
_WINDOW = 20


@dataclass(frozen=True)
class Find:
    """A secret where none may be. What it is stays unsaid: this ends up in a report."""

    path: Path
    offset: int
    disguise: str


def remember(secret: str) -> None:
    """From now on, this is looked for."""
    if secret:
        assert len(secret) >= _WINDOW, "too short to be told from other text"
        _known.add(secret)


def remember_reply(reply: Message) -> None:
    """From now on, the secrets in this reply are looked for, however deep they lie in it."""
    for field, content in reply.ListFields():
        if field.name in _SECRET_FIELDS and isinstance(content, str):
            remember(content)
        elif field.message_type is not None:
            # What is in a configuration is the owner's business, and kept as it is.
            inner = [content] if isinstance(content, Message) else list(content)
            for message in inner:
                if isinstance(message, Message) and not message.DESCRIPTOR.full_name.startswith("google.protobuf."):
                    remember_reply(message)


def knows(secret: str) -> bool:
    return secret in _known


def finds(logs: list[Path], data: Path) -> list[Find]:
    """Every secret in these logs and under this directory."""
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    assert files, f"nothing to look at in {data}"
    assert logs
    # The hash of a value is what the database is meant to hold; a log is not.
    in_data, in_logs = _disguises(hashed=False), _disguises(hashed=True)
    found = [_in_file(path, in_data) for path in files] + [_in_file(path, in_logs) for path in logs]
    return [find for finds in found for find in finds]


def _in_file(path: Path, disguises: dict[bytes, str]) -> Iterator[Find]:
    content = path.read_bytes()
    for match in _VALUE.finditer(content):
        yield Find(path, match.start(), "form of a key value")
    # A log says the same again and again; it is enough to look at each of its words once.
    for run in set(_RUN.findall(content)):
        for start in range(len(run) - _WINDOW + 1):
            disguise = disguises.get(run[start : start + _WINDOW])
            if disguise is not None:
                yield Find(path, content.find(run) + start, disguise)


def _disguises(*, hashed: bool) -> dict[bytes, str]:
    """The beginnings of what to look for, with what they are the beginnings of."""
    found = {}
    for secret in _known:
        raw = secret.removeprefix(keyform.PREFIX).encode()
        found[raw[:_WINDOW]] = "as it is"
        found[raw.hex().encode()[:_WINDOW]] = "hexadecimal"
        for encoded in _base64(raw):
            found[encoded[:_WINDOW]] = "base64"
        if hashed:
            digest = hashlib.sha256(secret.encode())
            found[digest.hexdigest().encode()[:_WINDOW]] = "hash"
            found[base64.b64encode(digest.digest())[:_WINDOW]] = "hash"
    return found


def _base64(raw: bytes) -> Iterator[bytes]:
    """How the bytes look in base64, wherever in a longer text they stand: three cuts, without the edges."""
    for cut in range(3):
        whole = raw[cut : cut + (len(raw) - cut) // 3 * 3]
        yield base64.b64encode(whole)
        yield base64.urlsafe_b64encode(whole)
