"""Calls of `claviger.v1`, which no SDK knows: the server describes it when asked."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import canary
import served
from claviger import ApiKey, Server
from wire import Metadata, Wire, connect

KEYS = "claviger.v1.KeyService"
IDENTITY = "claviger.v1.IdentityService"
WATCH_IDENTITY = f"{IDENTITY}/WatchIdentity"

_LEVELS = {"organization": "ORGANIZATION", "location": "LOCATION", "robot": "MACHINE"}

# One binary serves all tests, so one answer is enough.
_described: dict[str, served.Method] = {}


class Api:
    """A connection with which the methods of `claviger.v1` are called by name."""

    def __init__(self, wire: Wire, methods: Mapping[str, served.Method]) -> None:
        self.wire = wire
        self._methods = methods

    async def call(
        self, method: str, request: Mapping[str, Any] | None = None, metadata: Metadata | None = None
    ) -> Any:
        """Calls `CreateKey`, or a method of another service by its path. With the token, or this metadata."""
        described = self._methods[method if "/" in method else f"{KEYS}/{method}"]
        reply = await self.wire.raw(described.path, described.request(request or {}), metadata)
        return described.reply(reply)

    async def create(self, request: Mapping[str, Any]) -> tuple[Any, ApiKey]:
        """A new key, and what its holder has."""
        created = await self.call("CreateKey", request)
        canary.remember(created.value)
        return created.key, ApiKey(created.key.id, created.value)

    async def key(self, id: str) -> Any:
        return await self.call("GetKey", {"id": id})

    async def identity(self, metadata: Metadata | None = None) -> Any:
        return await self.call(f"{IDENTITY}/GetIdentity", {}, metadata)

    def identity_from(self, message: bytes) -> Any:
        """A message of the stream."""
        return self._methods[WATCH_IDENTITY].reply(message)


@asynccontextmanager
async def connect_api(server: Server, key: ApiKey | None = None) -> AsyncIterator[Api]:
    """A connection of our own, with the token of a key if one is given."""
    async with connect(server, key) as wire:
        if not _described:
            _described.update(await served.methods(wire))
        yield Api(wire, _described)


def resource(level: str, id: str) -> dict[str, str]:
    """A resource; the level as in the SDKs, where a machine is a `robot`."""
    return {"type": f"RESOURCE_TYPE_{_LEVELS[level]}", "id": id}


def may(role: str, level: str, id: str) -> dict[str, Any]:
    """A grant in a request."""
    return {"role": f"ROLE_{role.upper()}", "resource": resource(level, id)}


def rfc3339(at: datetime) -> str:
    """A time as JSON has it, to the microsecond, which is what the server keeps."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
