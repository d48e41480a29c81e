"""Every method is closed to nobody in particular, to the dead, and to strangers.

The methods are those that the running server lists, so a new one is in here by itself: without a row in `REQUESTS`
the tests fail.
"""

import asyncio
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest

import served
from claviger import REPOSITORY, ApiKey
from fleet import TwoOrganizations, grant, new_key, new_site
from modules import GET_PACKAGE, archive, info
from wire import APP, AUTHENTICATE, Wire, authorization, connect, machines_of, refused, sdk, unauthenticated

# What answers without a credential, each for a reason. A test asserts that every one of them has to.
OPEN = {
    AUTHENTICATE: "exchanges a credential for the token that all others ask for",
    "grpc.health.v1.Health/Check": "load balancers and init systems have no credential",
    "grpc.health.v1.Health/Watch": "the same, for those that wait",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "says what is published in proto/ anyway",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "the same, as older tools ask for it",
}


@dataclass(frozen=True)
class Target:
    """What requests are about."""

    organization: str
    location: str
    empty_location: str
    machine: str
    part: str
    key: str
    other_part: str
    part_secret: str
    location_secret: str
    module: str
    address: str

    @classmethod
    async def at_home(cls, two: TwoOrganizations) -> "Target":
        async with sdk(two.server, two.home.owner) as owner:
            site = await new_site(owner, two.home.organization_id)
            empty = await owner.create_location(site.organization_id, "empty")
            (part,) = await owner.get_robot_parts(site.machine_id)
            other = await owner.new_robot_part(site.machine_id, "left")
            await owner.create_robot_part_secret(part.id)
            auth = await owner.create_location_secret(site.location_id)
            grants = [site.grant("operator", "robot"), site.grant("operator", "location")]
            key = await new_key(owner, site.organization_id, *grants)
            module_id, _ = await owner.create_module(site.organization_id, f"module-{uuid.uuid4()}")
            await owner.upload_module_file(info(module_id, platform="any"), archive())
            # As it is called while the organization has no namespace; that goes on.
            module = f"{site.organization_id}:{module_id.partition(':')[2]}"
        secrets = (part.secrets[0].id, auth.secrets[0].id)
        ids = [site.organization_id, site.location_id, empty.id, site.machine_id, part.id, key.id]
        return cls(*ids, other, *secrets, module, part.fqdn)

    @classmethod
    def nowhere(cls) -> "Target":
        """Ids of the right form that nothing has."""
        ids = [str(uuid.uuid4()), "zzzzzzzzzz", "zzzzzzzzzy", *(str(uuid.uuid4()) for _ in range(6))]
        return cls(*ids, f"{uuid.uuid4()}:module", "x.claviger.internal")


def of_machine(t: Target, role: str) -> dict[str, str]:
    return authorization(role, "robot", t.machine, identity_id=t.key, organization_id=t.organization)


ROBOT = "viam.app.v1.RobotService"
KEYS = "claviger.v1.KeyService"
IDENTITY = "claviger.v1.IdentityService"
AUDIT = "claviger.v1.AuditService"

# Silent until something happens.
TAIL = f"{APP}/TailRobotPartLogs"

# A request for every method, which an owner of the organization may make.
REQUESTS: dict[str, Callable[[Target], dict[str, Any]]] = {
    f"{APP}/CreateOrganization": lambda t: {"name": "another"},
    f"{APP}/ListOrganizations": lambda t: {},
    f"{APP}/GetOrganization": lambda t: {"organization_id": t.organization},
    f"{APP}/UpdateOrganization": lambda t: {"organization_id": t.organization, "name": "renamed"},
    f"{APP}/DeleteOrganization": lambda t: {"organization_id": t.organization},
    f"{APP}/CreateLocation": lambda t: {"organization_id": t.organization, "name": "annex"},
    f"{APP}/GetLocation": lambda t: {"location_id": t.location},
    f"{APP}/UpdateLocation": lambda t: {"location_id": t.location, "name": "renamed"},
    f"{APP}/DeleteLocation": lambda t: {"location_id": t.empty_location},
    f"{APP}/ListLocations": lambda t: {"organization_id": t.organization},
    f"{APP}/ShareLocation": lambda t: {"location_id": t.location, "organization_id": t.organization},
    f"{APP}/UnshareLocation": lambda t: {"location_id": t.location, "organization_id": t.organization},
    f"{APP}/GetOrganizationsWithAccessToLocation": lambda t: {"location_id": t.location},
    f"{APP}/NewRobot": lambda t: {"location": t.location, "name": "rover"},
    f"{APP}/GetRobot": lambda t: {"id": t.machine},
    f"{APP}/UpdateRobot": lambda t: {"id": t.machine, "name": "renamed", "location": t.empty_location},
    f"{APP}/DeleteRobot": lambda t: {"id": t.machine},
    f"{APP}/ListRobots": lambda t: {"location_id": t.location},
    f"{APP}/ListRobotsForLocations": lambda t: {"location_ids": [t.location]},
    f"{APP}/ListRobotsForOrg": lambda t: {"org_id": t.organization},
    f"{APP}/GetRobotParts": lambda t: {"robot_id": t.machine},
    f"{APP}/GetRobotPart": lambda t: {"id": t.part},
    f"{APP}/ListFragments": lambda t: {"organization_id": t.organization},
    f"{APP}/GetRobotPartLogs": lambda t: {"id": t.part},
    TAIL: lambda t: {"id": t.part},
    **{f"{ROBOT}/{method}": lambda t: {"id": t.part} for method in ("Config", "Certificate", "Log", "NeedsRestart")},
    "proto.rpc.v1.ExternalAuthService/AuthenticateTo": lambda t: {"entity": t.address},
    f"{APP}/GetRobotPartByNameAndLocation": lambda t: {"name": "left", "location_id": t.location},
    f"{APP}/NewRobotPart": lambda t: {"robot_id": t.machine, "part_name": "right"},
    f"{APP}/UpdateRobotPart": lambda t: {"id": t.part, "name": "renamed", "robot_config": {"a": 1}},
    f"{APP}/DeleteRobotPart": lambda t: {"part_id": t.other_part},
    f"{APP}/MarkPartAsMain": lambda t: {"part_id": t.other_part},
    f"{APP}/MarkPartForRestart": lambda t: {"part_id": t.part},
    f"{APP}/GetRobotPartHistory": lambda t: {"id": t.part},
    f"{APP}/CreateRobotPartSecret": lambda t: {"part_id": t.part},
    f"{APP}/DeleteRobotPartSecret": lambda t: {"part_id": t.part, "secret_id": t.part_secret},
    f"{APP}/LocationAuth": lambda t: {"location_id": t.location},
    f"{APP}/CreateLocationSecret": lambda t: {"location_id": t.location},
    f"{APP}/DeleteLocationSecret": lambda t: {"location_id": t.location, "secret_id": t.location_secret},
    f"{APP}/ListMachineSummaries": lambda t: {"organization_id": t.organization, "location_ids": [t.location]},
    f"{APP}/GetOrganizationMetadata": lambda t: {"organization_id": t.organization},
    f"{APP}/UpdateOrganizationMetadata": lambda t: {"organization_id": t.organization, "data": {"a": 1}},
    f"{APP}/GetLocationMetadata": lambda t: {"location_id": t.location},
    f"{APP}/UpdateLocationMetadata": lambda t: {"location_id": t.location, "data": {"a": 1}},
    f"{APP}/GetRobotMetadata": lambda t: {"id": t.machine},
    f"{APP}/UpdateRobotMetadata": lambda t: {"id": t.machine, "data": {"a": 1}},
    f"{APP}/GetRobotPartMetadata": lambda t: {"id": t.part},
    f"{APP}/UpdateRobotPartMetadata": lambda t: {"id": t.part, "data": {"a": 1}},
    f"{APP}/GetRobotAPIKeys": lambda t: {"robot_id": t.machine},
    f"{APP}/CreateKey": lambda t: {"name": "x", "authorizations": [authorization("owner", "robot", t.machine)]},
    f"{APP}/DeleteKey": lambda t: {"id": t.key},
    f"{APP}/ListKeys": lambda t: {"org_id": t.organization},
    f"{APP}/RenameKey": lambda t: {"id": t.key, "name": "renamed"},
    f"{APP}/RotateKey": lambda t: {"id": t.key},
    f"{APP}/CreateKeyFromExistingKeyAuthorizations": lambda t: {"id": t.key},
    f"{APP}/AddRole": lambda t: {
        "authorization": authorization("operator", "organization", t.organization, identity_id=t.key)
    },
    f"{APP}/RemoveRole": lambda t: {"authorization": of_machine(t, "operator")},
    f"{APP}/ChangeRole": lambda t: {
        "old_authorization": of_machine(t, "operator"),
        "new_authorization": of_machine(t, "owner"),
    },
    f"{APP}/ListAuthorizations": lambda t: {"organization_id": t.organization},
    f"{APP}/CheckPermissions": lambda t: {
        "permissions": [{"resource_type": "robot", "resource_id": t.machine, "permissions": ["read_robot"]}]
    },
    f"{APP}/GetOrganizationNamespaceAvailability": lambda t: {
        "public_namespace": "acme",
        "organization_id": t.organization,
    },
    f"{APP}/UpdateOrganizationNamespace": lambda t: {
        "organization_id": t.organization,
        # A namespace is given once; this is the one that this organization gets in other tests too.
        "new_public_namespace": "orchard",
    },
    f"{APP}/CreateModule": lambda t: {"organization_id": t.organization, "name": "another-module"},
    f"{APP}/UpdateModule": lambda t: {"module_id": t.module, "visibility": "VISIBILITY_PRIVATE", "description": "x"},
    f"{APP}/UploadModuleFile": lambda t: {
        "module_file_info": {"module_id": t.module, "version": "2.0.0", "platform": "any"}
    },
    f"{APP}/GetModule": lambda t: {"module_id": t.module},
    f"{APP}/ListModules": lambda t: {"organization_id": t.organization},
    GET_PACKAGE: lambda t: {"id": t.module.replace(":", "/"), "version": "1.0.0-any", "include_url": True},
    f"{KEYS}/CreateKey": lambda t: {
        "organization_id": t.organization,
        "name": "x",
        "grants": [{"role": "ROLE_OWNER", "resource": {"type": "RESOURCE_TYPE_MACHINE", "id": t.machine}}],
    },
    f"{KEYS}/GetKey": lambda t: {"id": t.key},
    f"{KEYS}/ListKeys": lambda t: {"organization_id": t.organization},
    f"{KEYS}/SetKeyExpiry": lambda t: {"id": t.key, "expires_at": "2099-01-01T00:00:00Z"},
    f"{KEYS}/GetKeyUsage": lambda t: {"id": t.key},
    f"{KEYS}/ListManagers": lambda t: {"resource": {"type": "RESOURCE_TYPE_MACHINE", "id": t.machine}},
    f"{IDENTITY}/GetIdentity": lambda t: {},
    f"{IDENTITY}/WatchIdentity": lambda t: {},
    f"{AUDIT}/ListEntries": lambda t: {"organization_id": t.organization},
    f"{AUDIT}/FollowEntries": lambda t: {"organization_id": t.organization, "after_seq": 0},
    f"{AUDIT}/ExportEntries": lambda t: {"organization_id": t.organization},
}

# How the owner's own request ends where it is not simply done.
OWNER_IS_REFUSED = {
    f"{APP}/CreateOrganization": Status.PERMISSION_DENIED,
    f"{APP}/DeleteOrganization": Status.FAILED_PRECONDITION,
    # It is theirs already, and stays theirs.
    f"{APP}/ShareLocation": Status.ALREADY_EXISTS,
    f"{APP}/UnshareLocation": Status.FAILED_PRECONDITION,
    # No file follows.
    f"{APP}/UploadModuleFile": Status.INVALID_ARGUMENT,
}

# What a stranger gets an answer to: it is about the stranger, or it is no.
ABOUT_THE_CALLER = {
    f"{APP}/ListOrganizations",
    f"{APP}/CheckPermissions",
    f"{IDENTITY}/GetIdentity",
    f"{IDENTITY}/WatchIdentity",
}


@pytest.fixture(scope="module")
def listed(two: TwoOrganizations) -> dict[str, served.Method]:
    """What the server says it serves."""

    async def ask_it() -> dict[str, served.Method]:
        async with connect(two.server) as wire:
            return await served.methods(wire)

    return asyncio.run(ask_it())


async def ask(wire: Wire, method: served.Method, content: dict[str, Any]) -> bytes:
    """The answer, or the first of several; of a stream that is silent at first, that there is one."""
    request = method.request(content)
    if not method.streaming:
        return await wire.raw(method.path, request)
    async with wire.stream(method.path, request) as stream:
        if method.path == TAIL:
            await stream.recv_initial_metadata()
            return b""
        first: bytes | None = await stream.recv_message()
        if first is None:
            await stream.recv_trailing_metadata()
            raise AssertionError("a stream without an answer")
        return first


async def everything(two: TwoOrganizations) -> list[Any]:
    """What an owner sees of the organization."""
    id = two.home.organization_id
    async with connect(two.server, two.home.owner) as wire:
        return [
            await wire.call("GetOrganization", {"organization_id": id}),
            await wire.call("ListLocations", {"organization_id": id}),
            await machines_of(wire, id),
            await wire.call("ListKeys", {"org_id": id}),
            await wire.call("ListModules", {"organization_id": id}),
        ]


# === The list ===


def test_every_method_that_is_served_is_here(listed: dict[str, served.Method]) -> None:
    # Reflection and health may or may not list themselves.
    assert listed.keys() | OPEN.keys() == REQUESTS.keys() | OPEN.keys()
    assert not REQUESTS.keys() & OPEN.keys()


def test_viams_methods_that_are_served_are_those_of_the_page(listed: dict[str, served.Method]) -> None:
    of_viam = {path for path in listed if path.startswith(("viam.", "proto."))}
    assert of_viam == compatibility_page()["served"]


def compatibility_page() -> dict[str, set[str]]:
    """The methods of docs/compatibility.md by what it says of them."""
    found: dict[str, set[str]] = {"served": set(), "not served": set()}
    service = ""
    for line in (REPOSITORY / "docs" / "compatibility.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            service = line.removeprefix("## ")
        elif match := re.fullmatch(r"\| (\w+) \| (served|not served) \|", line):
            found[match[2]].add(f"{service}/{match[1]}")
    assert found["served"]
    assert found["not served"]
    return found


# === Nobody, and the dead ===


@pytest.mark.parametrize("path", REQUESTS)
async def test_nobody_gets_an_answer(two: TwoOrganizations, listed: dict[str, served.Method], path: str) -> None:
    target = await Target.at_home(two)
    method = listed[path]
    before = await everything(two)
    async with connect(two.server) as wire:
        for content in (method.request(REQUESTS[path](target)), b"", b"\xff"):
            with unauthenticated():
                await wire.raw(path, content)
    assert await everything(two) == before


@pytest.mark.parametrize("path", REQUESTS)
async def test_the_dead_get_no_answer(two: TwoOrganizations, listed: dict[str, served.Method], path: str) -> None:
    target = await Target.at_home(two)
    method = listed[path]
    dead = await dead_tokens(two)
    before = await everything(two)
    async with connect(two.server) as wire:
        for token in dead:
            wire.token = token
            with unauthenticated():
                await ask(wire, method, REQUESTS[path](target))
    assert await everything(two) == before


async def dead_tokens(two: TwoOrganizations) -> list[str]:
    """Tokens of owners of the organization, made before their keys were rotated and deleted."""
    access = grant("owner", "organization", two.home.organization_id)
    tokens = []
    async with sdk(two.server, two.home.owner) as owner, connect(two.server) as wire:
        for end in (owner.rotate_key, owner.delete_key):
            key = await new_key(owner, two.home.organization_id, access)
            tokens.append(await wire.authenticate(key))
            ended = await end(key.id)
            if ended is not None:
                ApiKey.from_sdk(ended)
    return tokens


# === Strangers ===


@pytest.mark.parametrize("path", REQUESTS)
async def test_a_stranger_finds_nothing_and_the_owner_does(
    two: TwoOrganizations, listed: dict[str, served.Method], path: str
) -> None:
    target = await Target.at_home(two)
    method = listed[path]
    before = await everything(two)
    async with connect(two.server, two.foreign.owner) as wire:
        if path in ABOUT_THE_CALLER:
            answer = await ask(wire, method, REQUESTS[path](target))
            if path == f"{APP}/CheckPermissions":
                assert b"read_robot" not in answer
            else:
                assert two.foreign.id.encode() in answer
                assert two.home.organization_id.encode() not in answer
        else:
            refusals = [await refusal(wire, method, REQUESTS[path](it)) for it in (target, Target.nowhere())]
            # Nothing tells what is there from what is not.
            assert refusals[0] == refusals[1]
            # Of organizations a key makes none at all, which needs no looking.
            makes_one = path == f"{APP}/CreateOrganization"
            assert refusals[0][0] is (Status.PERMISSION_DENIED if makes_one else Status.NOT_FOUND)
    assert await everything(two) == before

    # The same request, so that it was the caller who was refused above.
    async with connect(two.server, two.home.owner) as wire:
        if path in OWNER_IS_REFUSED:
            with refused(OWNER_IS_REFUSED[path]):
                await ask(wire, method, REQUESTS[path](target))
        else:
            method.reply(await ask(wire, method, REQUESTS[path](target)))


async def refusal(wire: Wire, method: served.Method, content: dict[str, Any]) -> tuple[Status, str | None]:
    with pytest.raises(GRPCError) as caught:
        await ask(wire, method, content)
    return caught.value.status, caught.value.message


# === Streams that are open ===

WATCH = f"{IDENTITY}/WatchIdentity"


@pytest.mark.parametrize("end", ["rotate_key", "delete_key"])
async def test_an_open_stream_ends_with_its_key(
    two: TwoOrganizations, listed: dict[str, served.Method], end: str
) -> None:
    async with sdk(two.server, two.home.owner) as owner:
        key = await new_key(owner, two.home.organization_id, grant("operator", "robot", two.home.machine_id))
        async with connect(two.server, key) as wire, wire.stream(WATCH, b"") as stream:
            identity: Any = listed[WATCH].reply(await stream.recv_message())
            assert identity.actor.key_id == key.id
            ended = await getattr(owner, end)(key.id)
            if ended is not None:
                ApiKey.from_sdk(ended)
            with unauthenticated():
                assert await stream.recv_message() is None
                await stream.recv_trailing_metadata()


async def test_an_open_stream_tells_of_a_role_that_was_taken_away(
    two: TwoOrganizations, listed: dict[str, served.Method]
) -> None:
    home = two.home
    async with sdk(two.server, home.owner) as owner:
        kept, taken = grant("operator", "robot", home.machine_id), grant("owner", "location", home.location_id)
        key = await new_key(owner, home.organization_id, kept, taken)
        async with connect(two.server, key) as wire, wire.stream(WATCH, b"") as stream:
            before: Any = listed[WATCH].reply(await stream.recv_message())
            await owner.remove_role(home.organization_id, key.id, "owner", "location", home.location_id)
            after: Any = listed[WATCH].reply(await stream.recv_message())
    assert [sorted(it.resource.id for it in identity.grants) for identity in (before, after)] == [
        sorted([home.machine_id, home.location_id]),
        [home.machine_id],
    ]


# === What is open has to be ===


async def test_every_exception_is_needed(two: TwoOrganizations) -> None:
    async with connect(two.server) as wire:
        answered = {AUTHENTICATE: await wire.accepts(two.home.operator)}
        health = HealthCheckResponse.FromString(await wire.raw("grpc.health.v1.Health/Check", b""))
        answered["grpc.health.v1.Health/Check"] = health.status == HealthCheckResponse.SERVING
        async with wire.stream("grpc.health.v1.Health/Watch", HealthCheckRequest().SerializeToString()) as stream:
            watched = HealthCheckResponse.FromString(await stream.recv_message())
        answered["grpc.health.v1.Health/Watch"] = watched.status == HealthCheckResponse.SERVING
        # Both versions have the same messages.
        question = ServerReflectionRequest(list_services="*").SerializeToString()
        for version in ("v1", "v1alpha"):
            path = f"grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            async with wire.stream(path, question) as stream:
                answered[path] = APP.encode() in await stream.recv_message()
    assert answered == dict.fromkeys(OPEN, True)


# === What is not served ===


async def test_what_is_not_served_says_so_by_name(two: TwoOrganizations) -> None:
    not_served = compatibility_page()["not served"]
    async with connect(two.server, two.home.owner) as owner, connect(two.server) as nobody:
        for path in sorted(not_served):
            for wire in (owner, nobody):
                with refused(Status.UNIMPLEMENTED, path):
                    await wire.raw(path, b"")
        assert (await owner.call("ListOrganizations")).organizations != []


@pytest.mark.parametrize("method", ["GetStatus", "Backup", "ExportJournal"])
async def test_the_operators_own_service_is_not_on_the_network(two: TwoOrganizations, method: str) -> None:
    async with connect(two.server, two.home.owner) as wire:
        with refused(Status.UNIMPLEMENTED):
            await wire.raw(f"claviger.v1.NodeService/{method}", b"")
