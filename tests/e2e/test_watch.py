"""`IdentityService/WatchIdentity`: what a watcher hears, and that whoever revokes has the last word.

The order is the point: once the revoking call has returned, a watcher hears that it is over and nothing else, whether
it has been reading or not.
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from viam.gen.app.v1 import app_pb2

import canary
import served
from claviger import ApiKey, Server
from claviger_api import KEYS, WATCH_IDENTITY, Api, connect_api, may, rfc3339
from fleet import Quickstart, Site, new_site
from http2 import framed
from protobytes import field
from wire import APP, INVALID_CREDENTIALS, authorization, sdk, unauthenticated

OWNER, OPERATOR = 1, 2

# A watcher that hears nothing for this long is taken to hear nothing at all.
SILENCE_S = 0.3
# In which everything that comes has to come.
SOON_S = 3.0

Revoke = Callable[[Api, str], Coroutine[Any, Any, Any]]


@asynccontextmanager
async def watching(api: Api) -> AsyncIterator["Watcher"]:
    """A stream on a connection."""
    async with api.wire.stream(WATCH_IDENTITY, b"") as stream:
        yield Watcher(api, stream)


class Watcher:
    def __init__(self, api: Api, stream: Any) -> None:
        self._api = api
        self._stream = stream

    async def next(self) -> Any:
        """What is heard next; it must be heard soon. Nothing where the stream ended."""
        heard: bytes | None = await asyncio.wait_for(self._stream.recv_message(), SOON_S)
        return None if heard is None else self._api.identity_from(heard)

    async def silent(self) -> bool:
        """Whether nothing is heard for a while. After a `no` or an error this watcher is of no more use."""
        try:
            await asyncio.wait_for(self._stream.recv_message(), SILENCE_S)
        except TimeoutError:
            return True
        return False

    async def ended(self) -> Status:
        """The end, and nothing before it."""
        try:
            assert await self.next() is None, "an identity where the end should be"
            await asyncio.wait_for(self._stream.recv_trailing_metadata(), SOON_S)
        except GRPCError as error:
            assert error.message == INVALID_CREDENTIALS
            return error.status
        return Status.OK


async def rotate(api: Api, id: str) -> None:
    canary.remember_reply(await api.wire.call("RotateKey", {"id": id}))


async def delete(api: Api, id: str) -> None:
    await api.wire.call("DeleteKey", {"id": id})


REVOCATIONS: dict[str, Revoke] = {"rotated": rotate, "deleted": delete}


async def site_of(home: Quickstart) -> Site:
    async with sdk(home.server, home.owner) as owner:
        return await new_site(owner, home.organization_id)


async def new_watcher_key(api: Api, site: Site, role: str = "operator", **more: Any) -> ApiKey:
    _, holder = await api.create({"name": "watcher", "grants": [may(role, "robot", site.machine_id)], **more})
    return holder


# === What is heard ===


async def test_the_first_message_is_who_one_is(home: Quickstart) -> None:
    async with connect_api(home.server, home.operator) as api:
        async with watching(api) as watcher:
            first = await watcher.next()
            assert first == await api.identity()
            assert first.actor.key_id == home.operator.id
            assert await watcher.silent()


async def test_a_watcher_without_a_credential_hears_nothing(home: Quickstart) -> None:
    async with connect_api(home.server) as api:
        for metadata in ([], [("authorization", "Bearer x")]):
            async with api.wire.stream(WATCH_IDENTITY, b"", metadata) as stream:
                with unauthenticated():
                    assert await stream.recv_message() is None
                    await stream.recv_trailing_metadata()


async def test_a_new_name_is_heard(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            assert (await watcher.next()).name == "watcher"
            for name in ("renamed", "and again"):
                await api.wire.call("RenameKey", {"id": key.id, "name": name})
                assert (await watcher.next()).name == name


async def test_a_changed_role_is_heard(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site, "owner")
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            assert [grant.role for grant in (await watcher.next()).grants] == [OWNER]
            roles = [
                authorization(
                    role, "robot", site.machine_id, identity_id=key.id, organization_id=home.organization_id
                )
                for role in ("owner", "operator")
            ]
            change = {"old_authorization": roles[0], "new_authorization": roles[1]}
            await api.wire.call("ChangeRole", change)
            assert [grant.role for grant in (await watcher.next()).grants] == [OPERATOR]


async def test_a_role_that_is_added_is_heard_and_one_that_is_removed(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            assert len((await watcher.next()).grants) == 1
            more = authorization(
                "operator", "location", site.location_id, identity_id=key.id, organization_id=home.organization_id
            )
            await api.wire.call("AddRole", {"authorization": more})
            assert len((await watcher.next()).grants) == 2
            await api.wire.call("RemoveRole", {"authorization": more})
            (left,) = (await watcher.next()).grants
            assert left.resource.id == site.machine_id


async def test_a_new_expiry_is_heard(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            assert not (await watcher.next()).HasField("expires_at")
            now = datetime.now(UTC)
            for hours in (2, 1, 3):
                expiry = now + timedelta(hours=hours)
                await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(expiry)})
                assert (await watcher.next()).expires_at.ToDatetime(UTC) == expiry
            await api.call("SetKeyExpiry", {"id": key.id})
            assert not (await watcher.next()).HasField("expires_at")


async def test_what_concerns_others_is_not_heard(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key, other = await new_watcher_key(api, site), await new_watcher_key(api, site)
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            await watcher.next()
            await api.wire.call("RenameKey", {"id": other.id, "name": "renamed"})
            await rotate(api, other.id)
            await delete(api, other.id)
            assert await watcher.silent()


# === The end ===


@pytest.mark.parametrize("revoke", REVOCATIONS.values(), ids=REVOCATIONS)
async def test_the_stream_of_a_revoked_key_ends(home: Quickstart, revoke: Revoke) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            await watcher.next()
            await revoke(api, key.id)
            assert await watcher.ended() is Status.UNAUTHENTICATED
            with unauthenticated():
                await held.identity()


async def test_the_stream_of_an_expiring_key_ends_at_its_time(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        expiry = datetime.now(UTC) + timedelta(seconds=1.2)
        key = await new_watcher_key(api, site, expires_at=rfc3339(expiry))
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            assert (await watcher.next()).expires_at.ToDatetime(UTC) == expiry
            assert await watcher.ended() is Status.UNAUTHENTICATED
            late = datetime.now(UTC) - expiry
            assert timedelta() <= late < timedelta(seconds=1)


async def test_an_expiry_that_was_moved_ends_the_stream_at_the_new_time(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        first = datetime.now(UTC) + timedelta(seconds=0.7)
        key = await new_watcher_key(api, site, expires_at=rfc3339(first))
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            await watcher.next()
            # Later: the first one passes and the watcher hears on. It is told of the new one by then.
            later = first + timedelta(seconds=1)
            await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(later)})
            assert (await watcher.next()).expires_at.ToDatetime(UTC) == later
            assert await watcher.ended() is Status.UNAUTHENTICATED
            assert timedelta() <= datetime.now(UTC) - later < timedelta(seconds=1)


async def test_the_stream_ends_with_the_last_resource_of_the_key(home: Quickstart) -> None:
    """Deleting a machine deletes the keys that were for nothing else."""
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        async with connect_api(home.server, key) as held, watching(held) as watcher:
            await watcher.next()
            await api.wire.call("DeleteRobot", {"id": site.machine_id})
            assert await watcher.ended() is Status.UNAUTHENTICATED


async def test_other_streams_go_on(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        doomed, spared = await new_watcher_key(api, site), await new_watcher_key(api, site)
        async with connect_api(home.server, doomed) as held, connect_api(home.server, spared) as other:
            async with watching(held) as ending, watching(other) as watcher:
                await ending.next()
                await watcher.next()
                await rotate(api, doomed.id)
                assert await ending.ended() is Status.UNAUTHENTICATED
                assert await watcher.silent()
            assert (await other.identity()).actor.key_id == spared.id


# === The order ===

ROUNDS = 100
READ, UNREAD = 3, 2

# More than a stream is ever sent here.
WIDE_OPEN = 65_536


def test_after_the_revoking_call_there_is_only_the_end(own: Quickstart) -> None:
    """Each round: five streams of a key, two of which are not read, and changes until the very end.

    Every change is one that the key's watchers hear, so there is always something that could come too late. All of it
    goes over one connection: there the order in which the server sends is the order in which things arrive, and what
    comes on a stream after the answer to the revocation was sent after it.
    """
    site, owners, descriptions = asyncio.run(_prepared(own))
    late, heard = [], 0
    for number in range(ROUNDS):
        key, token = asyncio.run(_key_and_token(own, site))
        with frames(own.server) as connection:
            streams = [connection.watch(token) for _ in range(READ + UNREAD)]
            for stream in streams[:READ]:
                connection.read_now(stream)
                assert connection.messages(stream, 1) == 1
            expiry = datetime.now(UTC) + timedelta(hours=1)
            changes = [
                ("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(expiry - timedelta(minutes=step))})
                for step in range(3)
            ]
            for method, request in changes:
                # Nobody waits for these: they are on their way together with the revocation.
                connection.send(f"{KEYS}/{method}", owners, descriptions[method].request(request))
            method = ("RotateKey", "DeleteKey")[number % 2]
            started = time.monotonic()
            revoking = connection.send(f"{APP}/{method}", owners, field(1, key.id))
            connection.read_now(revoking)
            answer, status, _ = connection.rest(revoking)
            assert status is Status.OK
            assert time.monotonic() - started < 1.5, "whoever revokes waits for somebody who does not read"
            if method == "RotateKey":
                canary.remember_reply(app_pb2.RotateKeyResponse.FromString(answer[0]))
            for stream in streams:
                connection.read_now(stream)
                messages, status, message = connection.rest(stream)
                assert (status, message) == (Status.UNAUTHENTICATED, INVALID_CREDENTIALS)
                heard += len(messages)
            answered = connection.order.index(revoking)
            late += [(number, stream) for stream in streams[:READ] if stream in connection.order[answered:]]
    assert heard > ROUNDS * READ, "no change was heard, so none could have been late"
    assert late == []


async def _prepared(home: Quickstart) -> tuple[Site, str, dict[str, served.Method]]:
    """A machine, the owner's token, and the methods that are called by frame."""
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        methods = await served.methods(api.wire)
        token = api.wire.token
        assert token is not None
        return site, token, {"SetKeyExpiry": methods[f"{KEYS}/SetKeyExpiry"]}


async def _key_and_token(home: Quickstart, site: Site) -> tuple[ApiKey, str]:
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        return key, await api.wire.authenticate(key)


class Frames:
    """A connection on which no stream carries a byte of an answer until it is told that it may.

    That is how a client that does not read looks to a server, without megabytes in between to fill the buffers with.
    """

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(server.address, timeout=SOON_S)
        self._authority = "{}:{}".format(*server.address)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._data: dict[int, bytes] = {}
        self._headers: dict[int, dict[str, str]] = {}
        self._over: set[int] = set()
        # The streams on which answers came, a message each time, in their order.
        self.order: list[int] = []
        self._h2.initiate_connection()
        self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self._flush()
        while self._h2.local_settings.initial_window_size != 0:
            self._receive()

    def close(self) -> None:
        self._socket.close()

    def watch(self, token: str) -> int:
        """Opens a stream that is there, as its headers say, when this returns."""
        stream = self.send(WATCH_IDENTITY, token, b"")
        while ":status" not in self._headers[stream]:
            self._receive()
        return stream

    def send(self, path: str, token: str, message: bytes) -> int:
        stream: int = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{path}"),
            (":authority", self._authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("authorization", f"Bearer {token}"),
        ]
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, framed(message), end_stream=True)
        self._data[stream], self._headers[stream] = b"", {}
        self._flush()
        return stream

    def read_now(self, stream: int, size: int = WIDE_OPEN) -> None:
        if stream not in self._over:
            self._h2.increment_flow_control_window(size, stream)
            self._flush()

    def messages(self, stream: int, count: int) -> int:
        """How many whole messages have come, after waiting for so many."""
        while len(self.received(stream)) < count and stream not in self._over:
            self._receive()
        return len(self.received(stream))

    def received(self, stream: int) -> list[bytes]:
        messages, data = [], self._data[stream]
        while len(data) >= 5:
            (length,) = struct.unpack(">I", data[1:5])
            if len(data) < 5 + length:
                break
            messages.append(data[5 : 5 + length])
            data = data[5 + length :]
        return messages

    def rest(self, stream: int) -> tuple[list[bytes], Status, str]:
        """Every message that came on the stream, and how it ended."""
        while stream not in self._over:
            self._receive()
        headers = self._headers[stream]
        return self.received(stream), Status(int(headers["grpc-status"])), unquote(headers.get("grpc-message", ""))

    def _receive(self) -> None:
        received = self._socket.recv(65_536)
        assert received, "the server hung up"
        for event in self._h2.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                self._headers[event.stream_id] |= {str(name): str(content) for name, content in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self._data[event.stream_id] += event.data
                self.order.append(event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._over.add(event.stream_id)
            assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated)
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())


@contextmanager
def frames(server: Server) -> Iterator[Frames]:
    connection = Frames(server)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("revoke", REVOCATIONS.values(), ids=REVOCATIONS)
async def test_whoever_revokes_does_not_wait_for_those_who_do_not_read(home: Quickstart, revoke: Revoke) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        for _ in range(5):
            key = await new_watcher_key(api, site)
            token = await api.wire.authenticate(key)
            with frames(home.server) as reader:
                streams = [reader.watch(token) for _ in range(20)]
                started = time.monotonic()
                await revoke(api, key.id)
                # Two seconds is what the server would wait for one that is stuck.
                assert time.monotonic() - started < 1
                # Nor does anybody else afterwards.
                await rotate(api, (await new_watcher_key(api, site)).id)
                assert time.monotonic() - started < 1.5
                for stream in streams:
                    reader.read_now(stream)
                    _, status, message = reader.rest(stream)
                    assert (status, message) == (Status.UNAUTHENTICATED, INVALID_CREDENTIALS)


@pytest.mark.parametrize("revoke", REVOCATIONS.values(), ids=REVOCATIONS)
async def test_who_reads_only_after_the_revocation_hears_only_the_end(home: Quickstart, revoke: Revoke) -> None:
    """What waited for a client that did not read is not sent to it once the key is dead.

    But for one message: the one that the transport had taken over when the client's window was closed, which was under
    way before the revocation and is not news.
    """
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        heard = []
        for _ in range(10):
            key = await new_watcher_key(api, site)
            token = await api.wire.authenticate(key)
            with frames(home.server) as reader:
                streams = [reader.watch(token) for _ in range(3)]
                await api.call(
                    "SetKeyExpiry",
                    {"id": key.id, "expires_at": rfc3339(datetime.now(UTC) + timedelta(hours=1))},
                )
                await revoke(api, key.id)
                for stream in streams:
                    reader.read_now(stream)
                    messages, status, _ = reader.rest(stream)
                    assert status is Status.UNAUTHENTICATED
                    heard.append(len(messages))
    assert max(heard) <= 1


async def test_who_stops_reading_hears_only_the_end_after_the_revocation(home: Quickstart) -> None:
    """The same for one that has read its first message: of three changes, at most the one under way is heard."""
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        heard = []
        for number in range(10):
            key = await new_watcher_key(api, site)
            token = await api.wire.authenticate(key)
            with frames(home.server) as reader:
                stream = reader.watch(token)
                # Enough for the first message and, as it turns out, for no second one.
                async with connect_api(home.server, key) as held:
                    first = (await held.identity()).ByteSize()
                reader.read_now(stream, 5 + first)
                assert reader.messages(stream, 1) == 1
                for step in range(3):
                    expiry = datetime.now(UTC) + timedelta(hours=3 - step)
                    await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(expiry)})
                await (rotate if number % 2 else delete)(api, key.id)
                reader.read_now(stream)
                messages, status, _ = reader.rest(stream)
                assert status is Status.UNAUTHENTICATED
                heard.append(len(messages) - 1)
    assert max(heard) <= 1


async def test_a_slow_reader_hears_the_newest_not_all(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        token = await api.wire.authenticate(key)
        with frames(home.server) as reader:
            stream = reader.watch(token)
            last = datetime.now(UTC)
            for step in range(50):
                last = datetime.now(UTC) + timedelta(hours=100 - step)
                await api.call("SetKeyExpiry", {"id": key.id, "expires_at": rfc3339(last)})
            reader.read_now(stream)
            count = 0
            while True:
                count = reader.messages(stream, count + 1)
                newest = api.identity_from(reader.received(stream)[-1])
                if newest.HasField("expires_at") and newest.expires_at.ToDatetime(UTC) == last:
                    break
                assert count < 10, "what is not news any more"


async def test_streams_that_are_given_up_leave_nothing_to_wait_for(home: Quickstart) -> None:
    site = await site_of(home)
    async with connect_api(home.server, home.owner) as api:
        key = await new_watcher_key(api, site)
        token = await api.wire.authenticate(key)
        for _ in range(20):
            # Hung up on without a word, with streams open.
            with frames(home.server) as reader:
                for _ in range(5):
                    reader.watch(token)
        started = time.monotonic()
        await rotate(api, key.id)
        assert time.monotonic() - started < 1
