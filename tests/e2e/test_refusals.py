"""What the server does not accept, one row a case, and that it stands afterwards."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from viam.app.app_client import APIKeyAuthorization
from viam.rpc.dial import DialOptions

from claviger import ApiKey
from fleet import ABSENT_LOCATION, ABSENT_UUID, Quickstart, TwoOrganizations, grant, new_key, new_site
from http2 import framed, http2
from keyform import CHECKSUM_CHARS, PREFIX, forged, with_flipped_case
from protobytes import message
from wire import (
    APP,
    AUTHENTICATE,
    INVALID_CREDENTIALS,
    Wire,
    authorization,
    connect,
    encoded,
    machines_of,
    methods,
    refused,
    sdk,
    unauthenticated,
)

NIL_UUID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def target(two: TwoOrganizations) -> "Target":
    """Ids to make requests of: a fresh location, machine and key at home, and what stands next door."""
    return asyncio.run(Target.make(two))


@dataclass(frozen=True)
class Target:
    two: TwoOrganizations
    organization: str
    location: str
    machine: str
    key: ApiKey
    foreign_organization: str
    foreign_location: str
    foreign_machine: str

    @classmethod
    async def make(cls, two: TwoOrganizations) -> "Target":
        async with sdk(two.server, two.home.owner) as owner, sdk(two.server, two.foreign.owner) as neighbour:
            site = await new_site(owner, two.home.organization_id)
            abroad = await new_site(neighbour, two.foreign.id)
            key = await new_key(owner, site.organization_id, site.grant("operator", "robot"))
        return cls(
            two,
            site.organization_id,
            site.location_id,
            site.machine_id,
            key,
            two.foreign.id,
            abroad.location_id,
            abroad.machine_id,
        )


# === Requests ===


@dataclass(frozen=True)
class Refused:
    """A request that is refused, and how."""

    case: str
    method: str
    request: Callable[[Target], dict[str, Any]]
    status: Status
    words: tuple[str, ...]


def create_key(*authorizations: dict[str, str], name: str = "x") -> dict[str, Any]:
    return {"name": name, "authorizations": list(authorizations)}


def of_machine(t: Target, role: str = "operator", **more: str) -> dict[str, str]:
    return authorization(role, "robot", t.machine, **more)


def held_by(t: Target, **more: str) -> dict[str, str]:
    """The one authorization of the target's key."""
    return of_machine(t, identity_id=t.key.id, **more)


INVALID, ABSENT = Status.INVALID_ARGUMENT, Status.NOT_FOUND
FIRST = "authorizations[0]"
SECOND = "authorizations[1]"

REFUSED = [
    # What a key may do.
    Refused("no-authorization", "CreateKey", lambda t: create_key(), INVALID, ("authorizations:", "at least one")),
    Refused("empty-authorization", "CreateKey", lambda t: create_key({}), INVALID, (f"{FIRST}.authorization_id:",)),
    Refused(
        "unknown-role",
        "CreateKey",
        lambda t: create_key(authorization("admin", "robot", t.machine)),
        INVALID,
        (f"{FIRST}.authorization_id:", "owner or operator"),
    ),
    Refused(
        "role-in-capitals",
        "CreateKey",
        lambda t: create_key(authorization("Owner", "robot", t.machine)),
        INVALID,
        (f"{FIRST}.authorization_id:",),
    ),
    Refused(
        "unknown-resource-type",
        "CreateKey",
        lambda t: create_key(of_machine(t, resource_type="fragment")),
        INVALID,
        (f"{FIRST}.resource_type:", "organization, location or robot"),
    ),
    Refused(
        "unknown-level",
        "CreateKey",
        lambda t: create_key(authorization("owner", "fragment", t.machine)),
        INVALID,
        (f"{FIRST}.authorization_id:",),
    ),
    Refused(
        "levels-disagree",
        "CreateKey",
        lambda t: create_key(
            authorization("owner", "location", t.location, resource_type="robot", resource_id=t.machine)
        ),
        INVALID,
        (f"{FIRST}.resource_type:", "location"),
    ),
    Refused(
        "unknown-authorization-type",
        "CreateKey",
        lambda t: create_key(of_machine(t, authorization_type="permission")),
        INVALID,
        (f"{FIRST}.authorization_type:",),
    ),
    Refused(
        "type-of-the-other-role",
        "CreateKey",
        lambda t: create_key(of_machine(t, "owner", authorization_type="operator")),
        INVALID,
        (f"{FIRST}.authorization_type:",),
    ),
    Refused(
        "go-sdk-zero-values",
        "CreateKey",
        lambda t: create_key(authorization("", "", "", authorization_type="", identity_type="api-key")),
        INVALID,
        (f"{FIRST}.authorization_id:", "location_owner"),
    ),
    Refused(
        "no-resource-id",
        "CreateKey",
        lambda t: create_key(of_machine(t, resource_id="")),
        INVALID,
        (f"{FIRST}.resource_id:", "UUID"),
    ),
    Refused(
        "braces",
        "CreateKey",
        lambda t: create_key(of_machine(t, resource_id=f"{{{t.machine}}}")),
        INVALID,
        (f"{FIRST}.resource_id:", "UUID"),
    ),
    Refused(
        "urn",
        "CreateKey",
        lambda t: create_key(of_machine(t, resource_id=f"urn:uuid:{t.machine}")),
        INVALID,
        (f"{FIRST}.resource_id:",),
    ),
    Refused(
        "location-id-too-long",
        "CreateKey",
        lambda t: create_key(authorization("owner", "location", f"{t.location}0")),
        INVALID,
        (f"{FIRST}.resource_id:", "location id"),
    ),
    Refused(
        "location-id-with-a-dash",
        "CreateKey",
        lambda t: create_key(authorization("owner", "location", "abcde-fghi")),
        INVALID,
        (f"{FIRST}.resource_id:",),
    ),
    Refused(
        "the-second-is-wrong",
        "CreateKey",
        lambda t: create_key(of_machine(t), authorization("owner", "location", "x")),
        INVALID,
        (f"{SECOND}.resource_id:",),
    ),
    Refused(
        "two-roles-on-one-resource",
        "CreateKey",
        lambda t: create_key(of_machine(t), of_machine(t, "owner")),
        INVALID,
        ("authorizations:", "once", "machine {machine}"),
    ),
    Refused(
        "one-role-twice",
        "CreateKey",
        lambda t: create_key(of_machine(t), of_machine(t)),
        INVALID,
        ("authorizations:", "once"),
    ),
    Refused(
        "a-thousand-authorizations",
        "CreateKey",
        lambda t: create_key(*(of_machine(t) for _ in range(1_000))),
        INVALID,
        ("authorizations:", "at most 100", "1000"),
    ),
    Refused(
        "nil-resource",
        "CreateKey",
        lambda t: create_key(of_machine(t, resource_id=NIL_UUID)),
        ABSENT,
        ("machine not found",),
    ),
    Refused(
        "absent-resource",
        "CreateKey",
        lambda t: create_key(of_machine(t, resource_id=ABSENT_UUID)),
        ABSENT,
        ("machine not found",),
    ),
    Refused(
        "foreign-machine",
        "CreateKey",
        lambda t: create_key(of_machine(t, resource_id=t.foreign_machine)),
        ABSENT,
        ("machine not found",),
    ),
    Refused(
        "foreign-location",
        "CreateKey",
        lambda t: create_key(authorization("owner", "location", t.foreign_location)),
        ABSENT,
        ("location not found",),
    ),
    Refused(
        "foreign-organization",
        "CreateKey",
        lambda t: create_key(authorization("owner", "organization", t.foreign_organization)),
        ABSENT,
        ("organization not found",),
    ),
    Refused(
        "one-foreign-among-own",
        "CreateKey",
        lambda t: create_key(of_machine(t), authorization("owner", "location", t.foreign_location)),
        ABSENT,
        ("location not found",),
    ),
    Refused(
        "on-behalf-of-a-foreign-organization",
        "CreateKey",
        lambda t: create_key(of_machine(t, organization_id=t.foreign_organization)),
        INVALID,
        ("organization_id:",),
    ),
    Refused(
        "on-behalf-of-two-organizations",
        "CreateKey",
        lambda t: create_key(
            of_machine(t, organization_id=t.organization),
            authorization("owner", "location", t.location, organization_id=t.foreign_organization),
        ),
        INVALID,
        ("organization_id",),
    ),
    Refused(
        "malformed-organization",
        "CreateKey",
        lambda t: create_key(of_machine(t, organization_id="acme")),
        INVALID,
        (f"{FIRST}.organization_id:", "UUID"),
    ),
    # Ids.
    Refused("rotate-no-id", "RotateKey", lambda t: {}, INVALID, ("id:", "UUID")),
    Refused("rotate-braces", "RotateKey", lambda t: {"id": f"{{{t.key.id}}}"}, INVALID, ("id:", "UUID")),
    Refused("rotate-nil", "RotateKey", lambda t: {"id": NIL_UUID}, ABSENT, ("key not found",)),
    Refused("rotate-absent", "RotateKey", lambda t: {"id": ABSENT_UUID}, ABSENT, ("key not found",)),
    Refused("rotate-foreign", "RotateKey", lambda t: {"id": t.two.foreign.owner.id}, ABSENT, ("key not found",)),
    Refused("rotate-a-machine", "RotateKey", lambda t: {"id": t.machine}, ABSENT, ("key not found",)),
    Refused("delete-text", "DeleteKey", lambda t: {"id": "'; DROP TABLE record; --"}, INVALID, ("id:", "UUID")),
    Refused("delete-percent", "DeleteKey", lambda t: {"id": "%s%n%x"}, INVALID, ("id:", "UUID")),
    Refused("delete-foreign", "DeleteKey", lambda t: {"id": t.two.foreign.owner.id}, ABSENT, ("key not found",)),
    Refused("duplicate-nothing", "CreateKeyFromExistingKeyAuthorizations", lambda t: {}, INVALID, ("id:", "UUID")),
    Refused(
        "duplicate-foreign",
        "CreateKeyFromExistingKeyAuthorizations",
        lambda t: {"id": t.two.foreign.owner.id},
        ABSENT,
        ("key not found",),
    ),
    Refused(
        "rename-foreign",
        "RenameKey",
        lambda t: {"id": t.two.foreign.owner.id, "name": "ours"},
        ABSENT,
        ("key not found",),
    ),
    Refused("list-keys-of-nothing", "ListKeys", lambda t: {}, INVALID, ("org_id:", "UUID")),
    Refused(
        "list-keys-of-a-neighbour",
        "ListKeys",
        lambda t: {"org_id": t.foreign_organization},
        ABSENT,
        ("organization not found",),
    ),
    Refused("keys-of-text", "GetRobotAPIKeys", lambda t: {"robot_id": "arm"}, INVALID, ("robot_id:", "UUID")),
    Refused(
        "organization-braces",
        "GetOrganization",
        lambda t: {"organization_id": f"{{{t.organization}}}"},
        INVALID,
        ("organization_id:", "UUID"),
    ),
    Refused(
        "location-uuid", "GetLocation", lambda t: {"location_id": t.machine}, INVALID, ("location_id:", "location id")
    ),
    Refused("location-nothing", "GetLocation", lambda t: {}, INVALID, ("location_id:",)),
    Refused("location-of-no-organization", "CreateLocation", lambda t: {"name": "x"}, INVALID, ("organization_id:",)),
    Refused(
        "location-under-text",
        "CreateLocation",
        lambda t: {"name": "x", "organization_id": t.organization, "parent_location_id": "?"},
        INVALID,
        ("parent_location_id:",),
    ),
    Refused(
        "location-under-nothing",
        "CreateLocation",
        lambda t: {"name": "x", "organization_id": t.organization, "parent_location_id": ABSENT_LOCATION},
        ABSENT,
        ("location not found",),
    ),
    Refused("machine-nowhere", "NewRobot", lambda t: {"name": "x"}, INVALID, ("location:",)),
    Refused(
        "machine-abroad",
        "NewRobot",
        lambda t: {"name": "x", "location": t.foreign_location},
        ABSENT,
        ("location not found",),
    ),
    Refused(
        "machine-to-text",
        "UpdateRobot",
        lambda t: {"id": t.machine, "name": "x", "location": "?"},
        INVALID,
        ("location:",),
    ),
    Refused(
        "machines-of-text",
        "ListRobotsForLocations",
        lambda t: {"location_ids": [t.location, "?"]},
        INVALID,
        ("location_ids[1]:",),
    ),
    Refused("machines-of-text-organization", "ListRobotsForOrg", lambda t: {"org_id": "?"}, INVALID, ("org_id:",)),
    Refused("part-braces", "GetRobotPart", lambda t: {"id": f"{{{ABSENT_UUID}}}"}, INVALID, ("id:", "UUID")),
    Refused("part-absent", "GetRobotPart", lambda t: {"id": ABSENT_UUID}, ABSENT, ("part not found",)),
    # Roles of keys that exist.
    Refused("add-nothing", "AddRole", lambda t: {}, INVALID, ("authorization:",)),
    Refused(
        "add-to-nobody",
        "AddRole",
        lambda t: {"authorization": of_machine(t)},
        INVALID,
        ("authorization.identity_id:", "UUID"),
    ),
    Refused(
        "add-to-a-person",
        "AddRole",
        lambda t: {"authorization": held_by(t, identity_type="user")},
        INVALID,
        ("authorization.identity_type:",),
    ),
    Refused(
        "add-to-an-absent-key",
        "AddRole",
        lambda t: {"authorization": of_machine(t, identity_id=ABSENT_UUID)},
        ABSENT,
        ("key not found",),
    ),
    Refused(
        "add-to-a-foreign-key",
        "AddRole",
        lambda t: {"authorization": of_machine(t, identity_id=t.two.foreign.owner.id)},
        ABSENT,
        ("key not found",),
    ),
    Refused(
        "add-abroad",
        "AddRole",
        lambda t: {"authorization": held_by(t, resource_id=t.foreign_machine)},
        ABSENT,
        ("machine not found",),
    ),
    Refused(
        "add-unknown-role",
        "AddRole",
        lambda t: {"authorization": held_by(t, authorization_id="robot_admin")},
        INVALID,
        ("authorization.authorization_id:",),
    ),
    Refused("remove-nothing", "RemoveRole", lambda t: {}, INVALID, ("authorization:",)),
    Refused(
        "remove-from-a-foreign-key",
        "RemoveRole",
        lambda t: {"authorization": of_machine(t, identity_id=t.two.foreign.owner.id)},
        ABSENT,
        ("key not found",),
    ),
    Refused("change-nothing", "ChangeRole", lambda t: {}, INVALID, ("old_authorization:",)),
    Refused(
        "change-to-nothing", "ChangeRole", lambda t: {"old_authorization": held_by(t)}, INVALID, ("new_authorization:",)
    ),
    Refused(
        "change-to-another-key",
        "ChangeRole",
        lambda t: {
            "old_authorization": held_by(t),
            "new_authorization": of_machine(t, "owner", identity_id=t.two.home.owner.id),
        },
        INVALID,
        ("new_authorization.identity_id:",),
    ),
    Refused(
        "change-to-abroad",
        "ChangeRole",
        lambda t: {"old_authorization": held_by(t), "new_authorization": held_by(t, resource_id=t.foreign_machine)},
        ABSENT,
        ("machine not found",),
    ),
    Refused("roles-of-text", "ListAuthorizations", lambda t: {"organization_id": "?"}, INVALID, ("organization_id:",)),
    Refused(
        "roles-on-text",
        "ListAuthorizations",
        lambda t: {"organization_id": t.organization, "resource_ids": [t.location, "?"]},
        INVALID,
        ("resource_ids[1]:",),
    ),
    Refused("machines-of-nowhere", "ListRobotsForLocations", lambda t: {}, INVALID, ("location_ids:",)),
    Refused(
        "fragments-of-an-organization",
        "UpdateOrganization",
        lambda t: {"organization_id": t.organization, "default_fragments": {}},
        INVALID,
        ("default_fragments:",),
    ),
    Refused(
        "identity-of-a-new-key",
        "CreateKey",
        lambda t: create_key(of_machine(t, identity_id=ABSENT_UUID)),
        INVALID,
        (f"{FIRST}.identity_id:",),
    ),
    Refused(
        "new-key-for-a-person",
        "CreateKey",
        lambda t: create_key(of_machine(t, identity_type="user")),
        INVALID,
        (f"{FIRST}.identity_type:",),
    ),
    Refused("check-nothing", "CheckPermissions", lambda t: {}, INVALID, ("permissions:",)),
    Refused(
        "check-text",
        "CheckPermissions",
        lambda t: {"permissions": [{"resource_type": "robot", "resource_id": "?"}]},
        INVALID,
        ("permissions[0].resource_id:",),
    ),
    Refused(
        "check-fragment",
        "CheckPermissions",
        lambda t: {"permissions": [{"resource_type": "fragment", "resource_id": t.machine}]},
        INVALID,
        ("permissions[0].resource_type:",),
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row.method}-{row.case}")
async def test_a_request_that_is_wrong_is_refused_with_the_reason(target: Target, row: Refused) -> None:
    async with connect(target.two.server, target.two.home.owner) as wire:
        before = await everything(wire, target.organization)
        with refused(row.status, *(word.format_map(vars(target)) for word in row.words)):
            await wire.call(row.method, row.request(target))
        assert await everything(wire, target.organization) == before


async def everything(wire: Wire, organization: str) -> list[Any]:
    """What an owner sees of an organization."""
    return [
        await wire.call("GetOrganization", {"organization_id": organization}),
        await wire.call("ListLocations", {"organization_id": organization}),
        await machines_of(wire, organization),
        await wire.call("ListKeys", {"org_id": organization}),
    ]


# === What clients do differently, and is accepted ===


async def accepted_role(target: Target, request: dict[str, str]) -> tuple[str, str, str]:
    """Makes a key with this authorization. Returns the authorization it was listed with."""
    async with connect(target.two.server, target.two.home.owner) as wire:
        made = await wire.call("CreateKey", create_key(request))
        listed = await wire.call("ListKeys", {"org_id": target.organization})
    (details,) = [details for key in listed.api_keys if key.api_key.id == made.id for details in key.authorizations]
    assert (details.authorization_type, details.org_id) == ("role", target.organization)
    return details.authorization_id, details.resource_type, details.resource_id


@pytest.mark.parametrize("role", ["owner", "operator"])
async def test_the_go_sdk_sends_the_role_as_the_type(target: Target, role: str) -> None:
    request = of_machine(target, role, authorization_type=role, organization_id=target.organization)
    assert await accepted_role(target, request) == (f"robot_{role}", "robot", target.machine)


async def test_machine_is_taken_for_robot(target: Target) -> None:
    request = authorization("owner", "machine", target.machine)
    assert await accepted_role(target, request) == ("robot_owner", "robot", target.machine)
    async with sdk(target.two.server, target.two.home.owner) as owner:
        machine_grant: Any = "machine"
        grants = [APIKeyAuthorization("operator", machine_grant, target.machine)]
        assert await owner.create_key(target.organization, grants, "as people say it")


async def test_the_organization_is_found_where_none_is_named(target: Target) -> None:
    """The CLI leaves it empty for keys of machines and locations."""
    request = authorization("owner", "location", target.location, organization_id="", identity_type="api-key")
    assert await accepted_role(target, request) == ("location_owner", "location", target.location)


@pytest.mark.parametrize("form", [str.upper, lambda id: id.replace("-", ""), lambda id: id.replace("-", "").upper()])
async def test_ids_are_taken_in_other_forms_and_answered_in_one(target: Target, form: Callable[[str], str]) -> None:
    request = of_machine(target, resource_id=form(target.machine), organization_id=form(target.organization))
    assert await accepted_role(target, request) == ("robot_operator", "robot", target.machine)
    async with connect(target.two.server, target.two.home.owner) as wire:
        assert (await wire.call("GetRobot", {"id": form(target.machine)})).robot.id == target.machine
        assert (await wire.call("RenameKey", {"id": form(target.key.id), "name": "x"})).id == target.key.id
        assert (await wire.call("GetLocation", {"location_id": target.location.upper()})).location.id == target.location


# === Names ===

GOOD_NAMES = {
    "one-character": "x",
    "255-characters": "x" * 255,
    "255-characters-of-four-bytes": "🔑" * 255,
    "markup": "<script>alert(1)</script>",
    "sql": "'; DROP TABLE record; --",
    "percent": "100%s of %d%%",
    "path": "../../etc/passwd",
    "spaces": "  padded  ",
    "hebrew": "שלום",
}
BAD_NAMES = {
    "empty": "",
    "blank": " \u3000",
    "256-characters": "x" * 256,
    "65536-characters": "x" * 65_536,
    "nul": "a\0b",
    "newline": "a\nb",
    "carriage-return": "a\rb",
    "escape": "\x1b[2Ja",
    "delete": "a\x7fb",
    "next-line": "a\x85b",
    "line-separator": "a\u2028b",
    "right-to-left-mark": "a\u200fb",
    "right-to-left-override": "\u202egnp.exe",
    "isolate": "a\u2066b",
}

# What takes a name, with where the answer has it.
NAMED: dict[str, tuple[Callable[[Target, str], dict[str, Any]], Callable[[Any], str] | None]] = {
    "CreateKey": (lambda t, name: create_key(of_machine(t), name=name), None),
    "RenameKey": (lambda t, name: {"id": t.key.id, "name": name}, lambda reply: reply.name),
    "CreateLocation": (
        lambda t, name: {"organization_id": t.organization, "name": name},
        lambda reply: reply.location.name,
    ),
    "UpdateLocation": (lambda t, name: {"location_id": t.location, "name": name}, lambda reply: reply.location.name),
    "NewRobot": (lambda t, name: {"location": t.location, "name": name}, None),
    "UpdateRobot": (lambda t, name: {"id": t.machine, "name": name}, lambda reply: reply.robot.name),
    "UpdateOrganization": (
        lambda t, name: {"organization_id": t.organization, "name": name},
        lambda reply: reply.organization.name,
    ),
}
# The SDK says that an empty name leaves the name of a location; test_hierarchy.py holds the server to it.
EMPTY_STAYS = ("UpdateLocation", "empty")
BAD_NAME_CASES = [(method, case) for method in NAMED for case in BAD_NAMES if (method, case) != EMPTY_STAYS]


@pytest.mark.parametrize(("method", "case"), BAD_NAME_CASES)
async def test_a_bad_name_is_refused(target: Target, method: str, case: str) -> None:
    request, _ = NAMED[method]
    name = BAD_NAMES[case]
    async with connect(target.two.server, target.two.home.owner) as wire:
        before = await everything(wire, target.organization)
        with refused(Status.INVALID_ARGUMENT, "name: must "):
            await wire.call(method, request(target, name))
        assert await everything(wire, target.organization) == before


@pytest.mark.parametrize("method", NAMED)
@pytest.mark.parametrize("name", GOOD_NAMES.values(), ids=GOOD_NAMES)
async def test_a_good_name_is_kept_as_it_is(target: Target, method: str, name: str) -> None:
    request, answered = NAMED[method]
    async with connect(target.two.server, target.two.home.owner) as wire:
        reply = await wire.call(method, request(target, name))
        if answered is not None:
            assert answered(reply) == name
        elif method == "CreateKey":
            listed = await wire.call("ListKeys", {"org_id": target.organization})
            assert [it.api_key.name for it in listed.api_keys if it.api_key.id == reply.id] == [name]
        else:
            assert (await wire.call("GetRobot", {"id": reply.id})).robot.name == name


async def test_a_name_never_reads_as_a_format(target: Target) -> None:
    """The Go CLI passes messages through a format."""
    async with sdk(target.two.server, target.two.home.owner) as owner:
        with refused(Status.INVALID_ARGUMENT, "name:"):
            await owner.create_key(target.organization, [grant("operator", "robot", target.machine)], "%s\n%d")


# === Credentials ===

CREDENTIALS: dict[str, Callable[[ApiKey], tuple[str, str]]] = {
    "empty-value": lambda key: (key.id, ""),
    "one-byte-value": lambda key: (key.id, "x"),
    "8-kib-value": lambda key: (key.id, "x" * 8 * 1024),
    "1-mib-value": lambda key: (key.id, "x" * 1024 * 1024),
    "8-kib-value-that-starts-right": lambda key: (key.id, key.value + "x" * 8 * 1024),
    "truncated": lambda key: (key.id, key.value[:-1]),
    "truncated-to-half": lambda key: (key.id, key.value[:27]),
    "one-character-more": lambda key: (key.id, key.value + "0"),
    "space-before": lambda key: (key.id, " " + key.value),
    "newline-after": lambda key: (key.id, key.value + "\n"),
    "nul-after": lambda key: (key.id, key.value + "\0"),
    "case-flipped": lambda key: (key.id, with_flipped_case(key.value)),
    "upper-case": lambda key: (key.id, key.value.upper()),
    "no-prefix": lambda key: (key.id, key.value.removeprefix(PREFIX)),
    "wrong-checksum": lambda key: (key.id, key.value[:-CHECKSUM_CHARS] + "000000"),
    "right-checksum-wrong-secret": lambda key: (key.id, forged(seed=7)),
    "not-ascii": lambda key: (key.id, "clvk_" + "ä" * 49),
    "no-id": lambda key: ("", key.value),
    "another-id": lambda key: (ABSENT_UUID, key.value),
    "nil-id": lambda key: (NIL_UUID, key.value),
    "id-in-braces": lambda key: (f"{{{key.id}}}", key.value),
    "id-as-urn": lambda key: (f"urn:uuid:{key.id}", key.value),
    "id-with-a-space": lambda key: (f"{key.id} ", key.value),
    "8-kib-id": lambda key: ("0" * 8 * 1024, key.value),
    "1-mib-id": lambda key: ("0" * 1024 * 1024, key.value),
    "id-and-value-swapped": lambda key: (key.value, key.id),
}


@pytest.mark.parametrize("credential", CREDENTIALS.values(), ids=CREDENTIALS)
async def test_a_wrong_credential_is_refused_in_the_same_words(
    home: Quickstart, credential: Callable[[ApiKey], tuple[str, str]]
) -> None:
    async with connect(home.server) as wire:
        entity, payload = credential(home.operator)
        with unauthenticated():
            await wire.call(AUTHENTICATE, {"entity": entity, "credentials": {"type": "api-key", "payload": payload}})
        # The right one is taken on the same connection.
        assert await wire.accepts(home.operator)


async def test_the_value_of_another_key_is_refused(home: Quickstart) -> None:
    async with connect(home.server) as wire:
        assert not await wire.accepts(ApiKey(home.owner.id, home.operator.value))
        assert not await wire.accepts(ApiKey(home.operator.id, home.owner.value))


@pytest.mark.parametrize("form", [str.upper, lambda id: id.replace("-", "")], ids=["upper-case", "without-dashes"])
async def test_the_id_of_a_key_is_taken_in_other_forms(home: Quickstart, form: Callable[[str], str]) -> None:
    async with sdk(home.server, ApiKey(form(home.operator.id), home.operator.value)) as operator:
        assert (await operator.get_robot(home.machine_id)).id == home.machine_id


def test_the_sdk_itself_refuses_an_id_that_is_none() -> None:
    with pytest.raises(ValueError, match="not a valid UUID"):
        DialOptions.with_api_key("value", "not-an-id")


UNREADABLE_LOGINS: dict[str, tuple[dict[str, Any], str]] = {
    "no-credentials": ({"entity": ABSENT_UUID}, "credentials required"),
    "nothing": ({}, "credentials required"),
    "unknown-type": (
        {"entity": ABSENT_UUID, "credentials": {"type": "password", "payload": "x"}},
        'do not know how to handle credential type "password"',
    ),
    "no-type": (
        {"entity": ABSENT_UUID, "credentials": {"payload": "x"}},
        'do not know how to handle credential type ""',
    ),
    "robot-location-secret": (
        {"entity": ABSENT_UUID, "credentials": {"type": "robot-location-secret", "payload": "x"}},
        'do not know how to handle credential type "robot-location-secret"',
    ),
    "value-as-type": (
        {"entity": ABSENT_UUID, "credentials": {"type": forged(seed=3), "payload": "api-key"}},
        'do not know how to handle this credential type; it must be "api-key" or "robot-secret"',
    ),
}


@pytest.mark.parametrize(("login", "answer"), UNREADABLE_LOGINS.values(), ids=UNREADABLE_LOGINS)
async def test_a_login_that_is_none_is_refused_in_viams_words(
    home: Quickstart, login: dict[str, Any], answer: str
) -> None:
    async with connect(home.server) as wire:
        with pytest.raises(GRPCError) as caught:
            await wire.call(AUTHENTICATE, login)
    assert (caught.value.status, caught.value.message) == (Status.INVALID_ARGUMENT, answer)


async def test_a_login_with_a_token_is_refused_in_viams_words(home: Quickstart) -> None:
    async with connect(home.server, home.operator) as wire:
        token = wire.token
    credentials = message(f1="api-key", f2=home.operator.value)
    login = framed(message(f1=home.operator.id, f2=credentials))
    with http2(home.server) as connection:
        for header in (f"Bearer {token}", "Bearer x", ""):
            answer = connection.call(AUTHENTICATE, login, [("authorization", header)])
            said = (answer.status, answer.message)
            assert said == (Status.INVALID_ARGUMENT, "already authenticated; cannot re-authenticate")
        assert connection.call(AUTHENTICATE, login).status is Status.OK


# === The authorization header ===

HEADERS: dict[str, Callable[[str, ApiKey], list[str]]] = {
    "none": lambda token, key: [],
    "empty": lambda token, key: [""],
    "one-byte": lambda token, key: ["x"],
    "scheme-alone": lambda token, key: ["Bearer"],
    "scheme-and-space": lambda token, key: ["Bearer "],
    "token-alone": lambda token, key: [token],
    "lower-case-scheme": lambda token, key: [f"bearer {token}"],
    "upper-case-scheme": lambda token, key: [f"BEARER {token}"],
    "two-spaces": lambda token, key: [f"Bearer  {token}"],
    "tab": lambda token, key: [f"Bearer\t{token}"],
    "another-scheme": lambda token, key: [f"Basic {token}"],
    "truncated": lambda token, key: [f"Bearer {token[:-1]}"],
    "one-character-more": lambda token, key: [f"Bearer {token}A"],
    "two-tokens-in-one": lambda token, key: [f"Bearer {token},{token}"],
    "twice": lambda token, key: [f"Bearer {token}", f"Bearer {token}"],
    "wrong-then-right": lambda token, key: ["Bearer x", f"Bearer {token}"],
    "right-then-empty": lambda token, key: [f"Bearer {token}", ""],
    "the-key-value": lambda token, key: [f"Bearer {key.value}"],
    "8-kib": lambda token, key: ["Bearer " + "x" * 8 * 1024],
    "unsigned-jwt": lambda token, key: ["Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJvd25lciJ9."],
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_a_wrong_header_is_refused_in_the_same_words(
    home: Quickstart, headers: Callable[[str, ApiKey], list[str]]
) -> None:
    async with connect(home.server, home.owner) as wire:
        token = wire.token
    assert token is not None
    with http2(home.server) as connection:
        sent = [("authorization", header) for header in headers(token, home.owner)]
        answer = connection.call(f"{APP}/ListOrganizations", framed(b""), sent)
        assert (answer.status, answer.message) == (Status.UNAUTHENTICATED, INVALID_CREDENTIALS)
        right = connection.call(f"{APP}/ListOrganizations", framed(b""), [("authorization", f"Bearer {token}")])
        assert right.status is Status.OK


async def test_every_changed_letter_of_a_token_is_noticed(home: Quickstart) -> None:
    async with connect(home.server, home.operator) as wire:
        assert wire.token is not None
        good = wire.token
        for place, letter in enumerate(good):
            wire.token = good[:place] + ("A" if letter != "A" else "B") + good[place + 1 :]
            with unauthenticated():
                await wire.call("ListOrganizations")


def test_a_header_of_a_mebibyte_does_not_get_through(home: Quickstart) -> None:
    login = framed(message(f1=home.operator.id, f2=message(f1="api-key", f2=home.operator.value)))
    with http2(home.server) as bystander:
        with http2(home.server) as connection:
            # HTTP/2 has its own limit for headers, and a server may hang up for it.
            with suppress(ConnectionError):
                header = ("authorization", "Bearer " + "x" * 1024 * 1024)
                answer = connection.call(f"{APP}/ListOrganizations", framed(b""), [header])
                too_large = answer.headers.get(":status") == "431"
                assert too_large or answer.closed or answer.reset or answer.status is Status.UNAUTHENTICATED
        assert bystander.call(AUTHENTICATE, login).status is Status.OK


# === Several at once ===


async def test_of_rotations_at_once_exactly_one_value_survives(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server) as wire:
        key = await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id))
        rotated = [ApiKey.from_sdk(it) for it in await asyncio.gather(*(owner.rotate_key(key.id) for _ in range(8)))]
        assert len({it.value for it in rotated}) == 8
        assert [await wire.accepts(it) for it in [key, *rotated]].count(True) == 1
        assert not await wire.accepts(key)


async def test_a_delete_among_rotations_wins(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server) as wire:
        for _ in range(10):
            key = await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id))
            acts = [owner.rotate_key(key.id), owner.delete_key(key.id), owner.rotate_key(key.id)]
            outcomes = await asyncio.gather(*acts, return_exceptions=True)
            values = [key]
            for outcome in outcomes:
                if isinstance(outcome, tuple):
                    values.append(ApiKey.from_sdk(outcome))
                elif outcome is not None:
                    assert isinstance(outcome, GRPCError)
                    assert outcome.status is Status.NOT_FOUND
            assert outcomes[1] is None
            assert [await wire.accepts(value) for value in values] == [False] * len(values)


async def test_what_is_deleted_stays_deleted(home: Quickstart) -> None:
    async with sdk(home.server, home.owner) as owner, connect(home.server, home.owner) as wire:
        key = await new_key(owner, home.organization_id, grant("operator", "robot", home.machine_id))
        await owner.delete_key(key.id)
        acts = [
            ("RotateKey", {"id": key.id}),
            ("RenameKey", {"id": key.id, "name": "back"}),
            ("CreateKeyFromExistingKeyAuthorizations", {"id": key.id}),
            ("AddRole", {"authorization": authorization("owner", "robot", home.machine_id, identity_id=key.id)}),
            ("DeleteKey", {"id": key.id}),
        ]
        for method, request in acts:
            with refused(Status.NOT_FOUND, "key not found"):
                await wire.call(method, request)
        assert not await wire.accepts(key)


async def test_ten_thousand_wrong_keys_keep_nobody_from_working(home: Quickstart) -> None:
    """Counted, not timed: every guess is refused, and of the calls in between not one fails."""
    guesses = iter(range(10_000))
    refusals = 0
    guessing = True

    async def guess() -> None:
        nonlocal refusals
        async with connect(home.server) as wire:
            for number in guesses:
                # A third of them guess at a key that there is.
                id = [home.owner.id, ABSENT_UUID, "no id"][number % 3]
                assert not await wire.accepts(ApiKey(id, forged(number)))
                refusals += 1

    async def work() -> int:
        calls = 0
        async with sdk(home.server, home.operator) as operator:
            while guessing:
                assert (await operator.get_robot(home.machine_id)).id == home.machine_id
                async with connect(home.server) as wire:
                    assert await wire.accepts(home.operator)
                calls += 1
        return calls

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(2)]
        await asyncio.gather(*(guess() for _ in range(16)))
        guessing = False
    assert refusals == 10_000
    assert all(worker.result() >= 10 for worker in workers)


# === Methods that are not there ===


@pytest.mark.parametrize(
    "path", [f"{APP}/NoSuchMethod", "viam.app.v1.NoSuchService/Get", f"{APP}/", f"{APP}/createKey"]
)
async def test_an_unknown_method_is_unimplemented(home: Quickstart, path: str) -> None:
    async with connect(home.server, home.owner) as wire:
        with refused(Status.UNIMPLEMENTED):
            await wire.raw(path, b"")
        assert (await wire.call("ListOrganizations")).organizations != []


# === Random requests ===


async def test_random_requests_are_answered_like_requests(target: Target) -> None:
    """Every method, with fields of random content: refused or done, never a fault of the server."""
    chance = random.Random(20_261_123)
    snippets = [
        target.machine,
        target.location,
        target.organization,
        target.key.id,
        "robot",
        "robot_operator",
        "",
        "\0",
        "ÿ" * 300,
    ]
    allowed = {Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.PERMISSION_DENIED, Status.FAILED_PRECONDITION}
    allowed |= {Status.ALREADY_EXISTS, Status.UNIMPLEMENTED}
    async with connect(target.two.server, target.key) as wire:
        for path, method in methods().items():
            if path == AUTHENTICATE:
                continue
            for _ in range(5):
                request = {
                    field.name: chance.choice(snippets)
                    for field in method.input_type.fields
                    if field.type == field.TYPE_STRING and not field.is_repeated
                }
                try:
                    await wire.raw(path, encoded(method, request))
                except GRPCError as error:
                    assert error.status in allowed, (path, request, error)
                    assert "%" not in (error.message or "")
