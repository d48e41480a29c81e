"""Bytes that no client sends: malformed protobuf, malformed frames, too much of everything.

After each of them the same server answers the next call.
"""

import socket
from contextlib import suppress

import pytest
from grpclib.const import Status

from fleet import ABSENT_UUID, Quickstart
from http2 import Http2, framed, http2
from protobytes import END_GROUP, FIXED32, FIXED64, LENGTH, START_GROUP, VARINT, field, message, tag, varint
from wire import APP, AUTHENTICATE, MAX_MESSAGE_BYTES, connect, refused

# Protocol libraries call it their own fault, INTERNAL; but whoever sends it made the mistake.
UNREADABLE = Status.INVALID_ARGUMENT

# === Protobuf ===

LONG = varint(2**31)

MALFORMED: dict[str, bytes] = {
    "a-string-as-a-number": tag(2, VARINT) + varint(7),
    "a-string-as-four-bytes": tag(2, FIXED32) + b"\1\2\3\4",
    "a-string-as-eight-bytes": tag(2, FIXED64) + b"\1" * 8,
    "a-message-as-a-number": tag(1, VARINT) + varint(1),
    "a-string-that-is-not-utf-8": field(2, b"\xff\xfe"),
    "a-length-beyond-the-end": tag(2, LENGTH) + varint(10) + b"short",
    "a-length-of-2-gib": tag(2, LENGTH) + LONG + b"short",
    "a-length-of-2-to-the-63": tag(2, LENGTH) + varint(2**63) + b"short",
    "a-nested-length-of-2-gib": field(1, tag(2, LENGTH) + LONG),
    "a-number-of-eleven-bytes": tag(2, LENGTH) + b"\xff" * 10 + b"\1",
    "a-tag-that-ends": b"\x80",
    "field-number-zero": varint(LENGTH) + varint(1) + b"x",
    "wire-type-six": varint(2 << 3 | 6),
    "a-group-that-does-not-end": tag(99, START_GROUP),
    "a-group-that-did-not-begin": tag(99, END_GROUP),
    "a-group-that-ends-as-another": tag(99, START_GROUP) + tag(98, END_GROUP),
    "100000-groups-in-each-other": tag(99, START_GROUP) * 100_000,
    "100000-closed-groups-in-each-other": tag(99, START_GROUP) * 100_000 + tag(99, END_GROUP) * 100_000,
    "text": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_protobuf_is_refused(home: Quickstart, content: bytes) -> None:
    async with connect(home.server, home.owner) as wire:
        before = await wire.call("ListKeys", {"org_id": home.organization_id})
        with refused(UNREADABLE):
            await wire.raw(f"{APP}/CreateKey", content)
        # On the same connection, with nothing changed.
        assert await wire.call("ListKeys", {"org_id": home.organization_id}) == before


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_protobuf_without_a_credential_is_refused(home: Quickstart, content: bytes) -> None:
    async with connect(home.server) as wire:
        # Whoever is nobody does not even get as far as the parser.
        with refused(Status.UNAUTHENTICATED):
            await wire.raw(f"{APP}/CreateKey", content)
        with refused(UNREADABLE):
            await wire.raw(AUTHENTICATE, content)
        assert await wire.accepts(home.operator)


async def test_a_structure_of_great_depth_is_refused(home: Quickstart) -> None:
    """`google.protobuf.Struct` nests without end; a parser must not follow it without end."""
    value = field(3, "bottom")
    for _ in range(10_000):
        # Value.struct_value, Struct.fields, and the map entry's value.
        value = field(5, field(1, field(1, "k") + field(2, value)))
    fragment = field(5, field(1, field(1, "k") + field(2, value)))
    request = field(1, home.organization_id) + field(6, field(1, fragment))
    async with connect(home.server, home.owner) as wire:
        with refused(UNREADABLE):
            await wire.raw(f"{APP}/UpdateOrganization", request)
        assert (await wire.call("ListOrganizations")).organizations != []


async def test_unknown_fields_are_ignored(home: Quickstart) -> None:
    """A newer client may say more than this server understands."""
    unknown = [
        field(1_000, "text"),
        field(1_001, 2**63),
        tag(1_002, FIXED32) + b"\0" * 4,
        tag(1_003, FIXED64) + b"\0" * 8,
        tag(1_004, START_GROUP) + field(1, "in a group") + tag(1_004, END_GROUP),
        field(536_870_911, b"\xff" * 100),
    ]
    async with connect(home.server, home.owner) as wire:
        plain = await wire.raw(f"{APP}/GetRobot", field(1, home.machine_id))
        more = b"".join(unknown) + field(1, home.machine_id) + b"".join(unknown)
        assert await wire.raw(f"{APP}/GetRobot", more) == plain
        # Of a field that comes twice the last one counts.
        assert await wire.raw(f"{APP}/GetRobot", field(1, ABSENT_UUID) + field(1, home.machine_id)) == plain


# === Size ===


async def test_a_message_of_32_mib_is_read(home: Quickstart) -> None:
    async with connect(home.server, home.owner) as wire:
        overhead = len(message(f1="", f2="x" * 2**24)) - 2**24
        request = message(f1=home.owner.id, f2="x" * (MAX_MESSAGE_BYTES - len(home.owner.id) - overhead - 4))
        assert MAX_MESSAGE_BYTES - 16 < len(request) <= MAX_MESSAGE_BYTES
        with refused(Status.INVALID_ARGUMENT, "name:", "at most 255"):
            await wire.raw(f"{APP}/RenameKey", request)


async def test_a_message_of_more_than_32_mib_is_not_read(home: Quickstart) -> None:
    async with connect(home.server, home.owner) as wire:
        with refused(Status.RESOURCE_EXHAUSTED):
            await wire.raw(f"{APP}/RenameKey", b"\0" * (MAX_MESSAGE_BYTES + 1))
        assert (await wire.call("ListOrganizations")).organizations != []


# === Frames ===


def login(home: Quickstart) -> bytes:
    return message(f1=home.operator.id, f2=message(f1="api-key", f2=home.operator.value))


def still_serves(connection: Http2, home: Quickstart) -> bool:
    return connection.call(AUTHENTICATE, framed(login(home))).status is Status.OK


BAD_FRAMES: dict[str, tuple[bytes, set[Status]]] = {
    "nothing": (b"", {Status.INTERNAL, Status.INVALID_ARGUMENT}),
    "half-a-prefix": (b"\0\0", {Status.INTERNAL, Status.INVALID_ARGUMENT}),
    "less-than-promised": (framed(b"short", length=100), {Status.INTERNAL, Status.INVALID_ARGUMENT}),
    "4-gib-promised": (framed(b"short", length=2**32 - 1), {Status.RESOURCE_EXHAUSTED}),
    "just-over-32-mib-promised": (framed(b"short", length=MAX_MESSAGE_BYTES + 1), {Status.RESOURCE_EXHAUSTED}),
    "compressed-without-saying-how": (framed(b"short", flag=1), {Status.INTERNAL, Status.UNIMPLEMENTED}),
    "an-unknown-flag": (framed(b"short", flag=7), {Status.INTERNAL, Status.UNIMPLEMENTED}),
}


@pytest.mark.parametrize(("body", "statuses"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_malformed_frame_is_refused(home: Quickstart, body: bytes, statuses: set[Status]) -> None:
    with http2(home.server) as connection:
        assert connection.call(AUTHENTICATE, body).status in statuses
        assert still_serves(connection, home)


def test_4_gib_promised_are_refused_before_they_come(home: Quickstart) -> None:
    """Nobody can make the server wait for, or set aside, what they only promise to send."""
    with http2(home.server) as connection:
        stream = connection.open(AUTHENTICATE)
        connection.send(stream, framed(b"", length=2**32 - 1))
        assert connection.answer(stream).status is Status.RESOURCE_EXHAUSTED
        assert still_serves(connection, home)


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "text/plain"])
def test_what_is_not_grpc_is_not_answered_as_grpc(home: Quickstart, content_type: str) -> None:
    with http2(home.server) as connection:
        answer = connection.call(AUTHENTICATE, framed(login(home)), content_type=content_type)
        assert answer.headers[":status"] == "415"
        assert answer.status is not Status.OK
        assert still_serves(connection, home)


def test_calls_that_are_given_up_leave_nothing_behind(home: Quickstart) -> None:
    with http2(home.server) as bystander:
        for number in range(500):
            # A server may hang up on somebody who does nothing but give up.
            with http2(home.server) as connection, suppress(ConnectionError):
                for _ in range(10):
                    stream = connection.open(AUTHENTICATE)
                    if number % 2:
                        connection.send(stream, framed(login(home))[:20])
                    connection.reset(stream)
        assert still_serves(bystander, home)
        with http2(home.server) as newcomer:
            assert still_serves(newcomer, home)


@pytest.mark.parametrize("content", [b"\0" * 4096, b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", bytes(range(256))])
def test_what_is_not_http_ends_its_own_connection_only(home: Quickstart, content: bytes) -> None:
    with http2(home.server) as bystander:
        with socket.create_connection(home.server.address, timeout=20) as connection:
            # It may hang up before it has heard everything.
            with suppress(OSError):
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while connection.recv(4096):
                    pass
        assert still_serves(bystander, home)


def test_many_connections_that_say_nothing_keep_nobody_out(home: Quickstart) -> None:
    idle = [socket.create_connection(home.server.address, timeout=20) for _ in range(300)]
    try:
        with http2(home.server) as connection:
            assert still_serves(connection, home)
    finally:
        for connection_ in idle:
            connection_.close()
