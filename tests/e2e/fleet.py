"""The fleets that the tests work on, built through the SDK."""

from dataclasses import dataclass

from viam.app.app_client import APIKeyAuthorization, AppClient
from viam.proto.app import AuthorizedPermissions

from claviger import ApiKey, Organization, Server

# The six kinds of key: a role, held at a level of the hierarchy (`robot` is the wire's word for a machine).
KINDS = [(role, level) for level in ("organization", "location", "robot") for role in ("owner", "operator")]
KIND_IDS = [f"{level}-{role}" for role, level in KINDS]

ABSENT_UUID = "0198c5a4-7d10-7c3e-9f00-4b1d2e3f4a5b"
ABSENT_LOCATION = "zzzzzzzzzz"


@dataclass(frozen=True)
class Quickstart:
    """A running server and what its first start made."""

    server: Server
    organization_id: str
    location_id: str
    machine_id: str
    owner: ApiKey
    operator: ApiKey

    @classmethod
    def start(cls, server: Server) -> "Quickstart":
        ready = server.quickstart()
        return cls(
            server,
            ready["organization_id"],
            ready["location_id"],
            ready["machine_id"],
            ApiKey.from_json(ready["owner_key"]),
            ApiKey.from_json(ready["operator_key"]),
        )


@dataclass(frozen=True)
class TwoOrganizations:
    """A fleet, and a stranger on the same server."""

    home: Quickstart
    foreign: Organization

    @property
    def server(self) -> Server:
        return self.home.server


@dataclass(frozen=True)
class Site:
    """A location with one machine in it, and the ids above them."""

    organization_id: str
    location_id: str
    machine_id: str

    def resource_id(self, level: str) -> str:
        by_level = {"organization": self.organization_id, "location": self.location_id, "robot": self.machine_id}
        return by_level[level]

    def grant(self, role: str, level: str) -> APIKeyAuthorization:
        """A role at one level of this site."""
        return grant(role, level, self.resource_id(level))


def grant(role: str, resource_type: str, resource_id: str) -> APIKeyAuthorization:
    return APIKeyAuthorization(role=role, resource_type=resource_type, resource_id=resource_id)  # type: ignore[arg-type]


async def new_site(owner: AppClient, organization_id: str, name: str = "hall", parent: str | None = None) -> Site:
    location = await owner.create_location(organization_id, name, parent)
    machine_id = await owner.new_robot(f"{name}-arm", location.id)
    return Site(organization_id, location.id, machine_id)


async def new_key(
    owner: AppClient, organization_id: str, *grants: APIKeyAuthorization, name: str = "test-key"
) -> ApiKey:
    return ApiKey.from_sdk(await owner.create_key(organization_id, list(grants), name))


async def held(client: AppClient, resource_type: str, resource_id: str, permissions: list[str]) -> list[str]:
    """Which of these permissions the client's key holds on one resource, in the server's order."""
    asked = AuthorizedPermissions(resource_type=resource_type, resource_id=resource_id, permissions=permissions)
    (answered,) = await client.check_permissions([asked])
    assert (answered.resource_type, answered.resource_id) == (resource_type, resource_id)
    return list(answered.permissions)
