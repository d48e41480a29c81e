"""Calls of any method, by name, with requests that no SDK would send.

Messages are described by the SDK's own descriptors. A request is a dictionary, a message, or bytes that are no
message at all.
"""

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.events import RecvMessage, listen
from grpclib.exceptions import GRPCError
from h2.exceptions import StreamClosedError
from viam.app.app_client import AppClient
from viam.app.viam_client import ViamClient
from viam.gen.app.v1 import app_pb2, robot_pb2
from viam.gen.proto.rpc.v1 import auth_pb2
from viam.rpc.dial import DialOptions

import canary
from claviger import ApiKey, Server

APP = "viam.app.v1.AppService"
AUTHENTICATE = "proto.rpc.v1.AuthService/Authenticate"

# The one answer to a credential that is not accepted, whatever is wrong with it.
INVALID_CREDENTIALS = "invalid credentials"

# 1 << 25 is what Viam's own clients are ready to send and take.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024

Metadata: TypeAlias = Sequence[tuple[str, str]]
Request: TypeAlias = Mapping[str, Any] | Message | bytes


def methods() -> dict[str, MethodDescriptor]:
    """The methods of the services as the SDK knows them, by path without the leading slash."""
    services = [
        app_pb2.DESCRIPTOR.services_by_name["AppService"],
        robot_pb2.DESCRIPTOR.services_by_name["RobotService"],
        auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
        auth_pb2.DESCRIPTOR.services_by_name["ExternalAuthService"],
    ]
    return {f"{service.full_name}/{method.name}": method for service in services for method in service.methods}


_METHODS = methods()


class Wire:
    """An open connection, and the token that calls on it carry."""

    def __init__(self, channel: Channel, token: str | None = None) -> None:
        self.token = token
        self._channel = channel

    async def call(self, method: str, request: Request | None = None, metadata: Metadata | None = None) -> Any:
        """Calls a method: `CreateKey`, or one of another service by its path. With the token, or this metadata."""
        path = method if "/" in method else f"{APP}/{method}"
        descriptor = _METHODS[path]
        content = encoded(descriptor, {} if request is None else request)
        reply = GetMessageClass(descriptor.output_type).FromString(await self.raw(path, content, metadata))
        canary.remember_reply(reply)
        return reply

    async def raw(self, path: str, content: bytes, metadata: Metadata | None = None) -> bytes:
        """Calls any path with any bytes."""
        method = UnaryUnaryMethod(self._channel, f"/{path}", bytes, bytes)
        reply: bytes = await method(content, metadata=self._metadata(metadata))
        return reply

    @asynccontextmanager
    async def stream(self, path: str, content: bytes, metadata: Metadata | None = None) -> AsyncIterator[Any]:
        """Opens a stream with one request. Receive from it with `recv_message`; leaving gives it up."""
        cardinality = Cardinality.STREAM_STREAM
        async with self._channel.request(
            f"/{path}", cardinality, bytes, bytes, metadata=self._metadata(metadata)
        ) as stream:
            await stream.send_message(content, end=True)
            yield stream
            # It may have ended by itself.
            with suppress(StreamClosedError):
                await stream.cancel()

    def _metadata(self, metadata: Metadata | None) -> Metadata:
        if metadata is not None:
            return metadata
        return [] if self.token is None else [("authorization", f"Bearer {self.token}")]

    async def authenticate(self, key: ApiKey) -> str:
        """Exchanges a key for a token."""
        credentials = {"type": "api-key", "payload": key.value}
        reply = await self.call(AUTHENTICATE, {"entity": key.id, "credentials": credentials}, metadata=[])
        token: str = reply.access_token
        return token

    async def accepts(self, key: ApiKey) -> bool:
        """Whether the server takes this key. Any other answer than yes and no is an error."""
        try:
            await self.authenticate(key)
        except GRPCError as error:
            assert (error.status, error.message) == (Status.UNAUTHENTICATED, INVALID_CREDENTIALS)
            return False
        return True


class _Bytes(CodecBase):
    """Sends bytes and hands back bytes, without asking what they mean."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        del message_type
        assert isinstance(message, bytes)
        return message

    def decode(self, data: bytes, message_type: Any) -> Any:
        del message_type
        return data


def encoded(method: MethodDescriptor, request: Request) -> bytes:
    if isinstance(request, bytes):
        return request
    if not isinstance(request, Message):
        content, request = request, GetMessageClass(method.input_type)()
        json_format.ParseDict(dict(content), request)
    serialized: bytes = request.SerializeToString()
    return serialized


@asynccontextmanager
async def connect(server: Server, key: ApiKey | None = None) -> AsyncIterator[Wire]:
    """A connection of our own, with the token of a key if one is given."""
    host, port = server.address
    context = None
    if server.url.startswith("https://"):
        context = ssl.create_default_context(cafile=server.data / "tls" / "ca.pem")
        context.set_alpn_protocols(["h2"])
    channel = Channel(host, port, codec=_Bytes(), ssl=context)
    try:
        wire = Wire(channel)
        if key is not None:
            wire.token = await wire.authenticate(key)
        yield wire
    finally:
        channel.close()


@asynccontextmanager
async def sdk(server: Server, key: ApiKey) -> AsyncIterator[AppClient]:
    """The unmodified SDK, connected with a key."""
    options = DialOptions.with_api_key(key.value, key.id)
    options.insecure = server.url.startswith("http://")
    async with await ViamClient.create_from_dial_options(options, server.url) as client:
        watch(client)
        yield client.app_client


def watch(client: ViamClient) -> None:
    """From now on, the secrets that this client is told are looked for."""
    canary.remember(client._metadata["authorization"].removeprefix("Bearer "))

    async def received(event: RecvMessage) -> None:
        canary.remember_reply(event.message)

    listen(client._channel, RecvMessage, received)


@contextmanager
def refused(status: Status, *words: str) -> Iterator[None]:
    """The call inside is refused with this status, in a message that has these words."""
    with pytest.raises(GRPCError) as caught:
        yield
    message = caught.value.message or ""
    assert caught.value.status is status, message
    for word in words:
        assert word in message
    # The Go CLI passes messages through a format.
    assert "%" not in message


@contextmanager
def unauthenticated() -> Iterator[None]:
    """The credential of the call inside is not accepted, and nothing is said about why."""
    with pytest.raises(GRPCError) as caught:
        yield
    assert (caught.value.status, caught.value.message) == (Status.UNAUTHENTICATED, INVALID_CREDENTIALS)


async def machines_of(wire: Wire, organization: str) -> Any:
    """The machines of an organization, without what goes on by itself: for how long they were not heard of."""
    listed = await wire.call("ListRobotsForOrg", {"org_id": organization})
    for robot in listed.robots:
        robot.ClearField("seconds_since_online")
        robot.ClearField("online_state")
    return listed


def authorization(role: str, resource_type: str, resource_id: str, /, **more: str) -> dict[str, str]:
    """An authorization as the SDKs put it on the wire, with fields added or in the place of others."""
    return {
        "authorization_type": "role",
        "authorization_id": f"{resource_type}_{role}",
        "resource_type": resource_type,
        "resource_id": resource_id,
        **more,
    }
