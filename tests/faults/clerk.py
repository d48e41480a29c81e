"""Clerks: clients that change a fleet and remember what was acknowledged.

What a clerk makes is named after the clerk, so that nobody else's changes touch it. A clerk has one change under way
at a time. It knows how its things stand, and how they will stand if the change that is under way is made: nothing
else may ever be found.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from grpclib.client import Channel
from grpclib.exceptions import StreamTerminatedError
from viam.gen.app.v1 import app_pb2 as pb
from viam.gen.app.v1.app_grpc import AppServiceStub

MAX_KEYS = 8
MAX_LOCATIONS = 2
MAX_MACHINES = 3

ORGANIZATION = "organization"
_LEVELS = {"organization": "organization", "location": "location", "machine": "robot"}

# How a call ends when its server is killed.
SERVER_GONE = (OSError, StreamTerminatedError)


# === How things stand ===


@dataclass(frozen=True)
class Location:
    name: str


@dataclass(frozen=True)
class Machine:
    name: str
    location: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Grant:
    """A role on a thing."""

    role: str
    level: str
    label: str


@dataclass(frozen=True)
class Key:
    name: str
    grants: frozenset[Grant]
    rotations: int = 0


Thing = Location | Machine | Key
# By label, which is the part of a name that never changes.
Things = dict[str, Thing]


def label_of(name: str) -> str:
    return name.partition(".")[0]


@dataclass(frozen=True)
class Credential:
    """A key with one of its values, and a token that it was exchanged for if it was."""

    id: str
    value: str = field(repr=False)
    rotations: int
    token: str | None = field(default=None, repr=False)


# === Changing it ===


class Clerk:
    def __init__(self, name: str, organization_id: str, token: str, seed: int) -> None:
        self.name = name
        self.things: Things = {}
        self.under_way: Things | None = None
        self.ids: dict[str, str] = {ORGANIZATION: organization_id}
        self.held: dict[str, Credential] = {}
        self.dead: list[Credential] = []
        self.acknowledged = 0
        self._random = random.Random(seed)
        self._next = 0
        # One token for the whole life, over all lives of the server.
        self._metadata = [("authorization", f"Bearer {token}")]
        self._stub: Any = None

    async def work(self, host: str, port: int) -> None:
        """Makes changes until the server is gone."""
        channel = Channel(host, port)
        self._stub = AppServiceStub(channel)
        try:
            while True:
                await self._random.choice(self._possible())()
        except SERVER_GONE:
            pass
        except AttributeError as error:
            # What grpclib makes of a connection that was lost while it was being made.
            if error.name != "_transport":
                raise
        finally:
            channel.close()

    def settle(self, found: Things, ids: dict[str, str]) -> bool | None:
        """Takes over how things were found after the server was killed. Tells what became of the change under way."""
        change, self.under_way = self.under_way, None
        made = None if change is None or change == self.things else found == change
        assert found == self.things or found == change, self._difference(found, change)
        self.things, self.ids = found, ids
        for label, credential in list(self.held.items()):
            key = found.get(label)
            if not isinstance(key, Key) or key.rotations != credential.rotations:
                self._bury(label)
        return made

    def _difference(self, found: Things, change: Things | None) -> str:
        def told(things: Things | None) -> str:
            if things is None:
                return "  nothing\n"
            labels = [label for label in sorted({*things, *found}) if things.get(label) != found.get(label)]
            return "".join(f"  {label}: {things.get(label)}, found {found.get(label)}\n" for label in labels)

        return f"acknowledged:\n{told(self.things)}if the change under way was made:\n{told(change)}"

    async def _change(self, after: Things, call: Awaitable[Any]) -> Any:
        self.under_way = after
        reply = await call
        self.things, self.under_way = after, None
        self.acknowledged += 1
        return reply

    def _call(self, method: str, request: Any) -> Awaitable[Any]:
        called: Awaitable[Any] = getattr(self._stub, method)(request, metadata=self._metadata)
        return called

    def _possible(self) -> list[Callable[[], Awaitable[None]]]:
        keys, locations, machines = (self._labels(kind) for kind in (Key, Location, Machine))
        possible: list[Callable[[], Awaitable[None]]] = []
        if len(keys) < MAX_KEYS:
            possible += [self._create_key] * 3
        if len(locations) < MAX_LOCATIONS:
            possible += [self._create_location]
        if locations:
            possible += [self._rename_location]
        if locations and len(machines) < MAX_MACHINES:
            possible += [self._create_machine] * 2
        if machines:
            possible += [self._delete_machine]
        if keys:
            possible += [self._rename_key, self._rotate_key, self._rotate_key, self._delete_key, self._change_roles]
        if locations and not machines:
            possible += [self._delete_location]
        return possible

    def _labels(self, kind: type) -> list[str]:
        return sorted(label for label, thing in self.things.items() if isinstance(thing, kind))

    def _any(self, kind: type) -> str:
        return self._random.choice(self._labels(kind))

    def _new_name(self, label: str | None = None) -> str:
        self._next += 1
        return f"{label or f'{self.name}-{self._next}'}.{self._next}"

    # === Keys ===

    async def _create_key(self) -> None:
        name, grant = self._new_name(), self._new_grant(self._places())
        label = label_of(name)
        request = pb.CreateKeyRequest(name=name, authorizations=[self._authorization(grant)])
        after = {**self.things, label: Key(name, frozenset({grant}))}
        reply = await self._change(after, self._call("CreateKey", request))
        self.ids[label] = reply.id
        self.held[label] = Credential(reply.id, reply.key, rotations=0)

    async def _rename_key(self) -> None:
        label = self._any(Key)
        name = self._new_name(label)
        request = pb.RenameKeyRequest(id=self.ids[label], name=name)
        await self._change(self._with(label, name=name), self._call("RenameKey", request))

    async def _rotate_key(self) -> None:
        label = self._any(Key)
        rotations = self._key(label).rotations + 1
        request = pb.RotateKeyRequest(id=self.ids[label])
        reply = await self._change(self._with(label, rotations=rotations), self._call("RotateKey", request))
        self._bury(label)
        self.held[label] = Credential(self.ids[label], reply.key, rotations)

    async def _delete_key(self) -> None:
        label = self._any(Key)
        after = {other: thing for other, thing in self.things.items() if other != label}
        await self._change(after, self._call("DeleteKey", pb.DeleteKeyRequest(id=self.ids[label])))
        self._bury(label)

    async def _change_roles(self) -> None:
        """Adds a role to a key, or takes one away if it has several."""
        label = self._any(Key)
        grants = self._key(label).grants
        free = [place for place in self._places() if place not in {(grant.level, grant.label) for grant in grants}]
        if not free or (len(grants) > 1 and self._random.random() < 0.5):
            if len(grants) == 1:
                return
            grant = self._random.choice(sorted(grants, key=repr))
            request: Any = pb.RemoveRoleRequest(authorization=self._authorization(grant, self.ids[label]))
            await self._change(self._with(label, grants=grants - {grant}), self._call("RemoveRole", request))
        else:
            grant = self._new_grant(free)
            request = pb.AddRoleRequest(authorization=self._authorization(grant, self.ids[label]))
            await self._change(self._with(label, grants=grants | {grant}), self._call("AddRole", request))

    # === Places ===

    async def _create_location(self) -> None:
        name = self._new_name()
        label = label_of(name)
        request = pb.CreateLocationRequest(organization_id=self.ids[ORGANIZATION], name=name)
        reply = await self._change({**self.things, label: Location(name)}, self._call("CreateLocation", request))
        self.ids[label] = reply.location.id

    async def _rename_location(self) -> None:
        label = self._any(Location)
        name = self._new_name(label)
        request = pb.UpdateLocationRequest(location_id=self.ids[label], name=name)
        await self._change(self._with(label, name=name), self._call("UpdateLocation", request))

    async def _delete_location(self) -> None:
        label = self._any(Location)
        request = pb.DeleteLocationRequest(location_id=self.ids[label])
        await self._change(self._without_place(label), self._call("DeleteLocation", request))

    async def _create_machine(self) -> None:
        """Two records in one entry: the machine and its main part."""
        name, location = self._new_name(), self._any(Location)
        label = label_of(name)
        request = pb.NewRobotRequest(name=name, location=self.ids[location])
        after = {**self.things, label: Machine(name, location, parts=(f"{name}-main",))}
        reply = await self._change(after, self._call("NewRobot", request))
        self.ids[label] = reply.id

    async def _delete_machine(self) -> None:
        """Many records in one entry: the machine, its part, and every key that has a role on it."""
        label = self._any(Machine)
        request = pb.DeleteRobotRequest(id=self.ids[label])
        await self._change(self._without_place(label), self._call("DeleteRobot", request))

    def _without_place(self, gone: str) -> Things:
        """A place takes the roles on it along, and a key that has no other goes with it."""
        after: Things = {}
        for label, thing in self.things.items():
            if isinstance(thing, Key):
                thing = replace(thing, grants=frozenset(grant for grant in thing.grants if grant.label != gone))
                if not thing.grants:
                    continue
            if label != gone:
                after[label] = thing
        return after

    # === Helpers ===

    def _key(self, label: str) -> Key:
        key = self.things[label]
        assert isinstance(key, Key)
        return key

    def _with(self, label: str, **changes: Any) -> Things:
        return {**self.things, label: replace(self.things[label], **changes)}

    def _places(self) -> list[tuple[str, str]]:
        locations = [("location", label) for label in self._labels(Location)]
        return [("organization", ORGANIZATION), *locations, *(("machine", label) for label in self._labels(Machine))]

    def _new_grant(self, places: list[tuple[str, str]]) -> Grant:
        level, label = self._random.choice(places)
        return Grant(self._random.choice(["owner", "operator"]), level, label)

    def _authorization(self, grant: Grant, key_id: str = "") -> pb.Authorization:
        level = _LEVELS[grant.level]
        return pb.Authorization(
            authorization_type="role",
            authorization_id=f"{level}_{grant.role}",
            resource_type=level,
            resource_id=self.ids[grant.label],
            identity_id=key_id,
            organization_id=self.ids[ORGANIZATION],
            identity_type="api-key" if key_id else "",
        )

    def _bury(self, label: str) -> None:
        if (credential := self.held.pop(label, None)) is not None:
            self.dead.append(credential)
