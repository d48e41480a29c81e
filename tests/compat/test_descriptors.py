"""What `proto/` declares of Viam's interface is exactly what the published SDK was generated from."""

from collections.abc import Callable
from typing import Any

import descriptors
import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

Files = list[FileDescriptorProto]


@pytest.fixture(scope="module")
def published() -> Files:
    return descriptors.published()


@pytest.fixture(scope="module")
def ours() -> Files:
    return [file for file in descriptors.ours() if descriptors.is_viams(file)]


def test_no_difference(ours: Files, published: Files) -> None:
    assert descriptors.compare(ours, published) == []


def test_something_is_compared(ours: Files) -> None:
    names = descriptors.facts(ours)
    for name in (
        "proto.rpc.v1.AuthService/Authenticate",
        "viam.app.v1.AppService/RotateKey",
        "viam.app.v1.FragmentImport.VariablesEntry",
        "viam.app.v1.LocationAuth.secrets",
        "viam.app.v1.SharedSecret.State.STATE_ENABLED",
    ):
        assert name in names


def test_types_that_are_used_are_declared(ours: Files) -> None:
    names = descriptors.facts(ours)
    used = {fact[key] for fact in names.values() for key in ("type", "input", "output") if key in fact}
    for name in used:
        if name.startswith(".") and not name.startswith(".google.protobuf."):
            assert name.removeprefix(".") in names


# The comparison notices each kind of slip. A slip is made in a copy of our declarations, and has to be named in the
# one difference that comes out.

# What is edited, how, and the difference that has to come out.
Slip = tuple[Callable[[Files], None], str]


def message(files: Files, name: str) -> DescriptorProto:
    return next(found for file in files for found in file.message_type if found.name == name)


def field(files: Files, name: str, field_name: str) -> FieldDescriptorProto:
    return next(found for found in message(files, name).field if found.name == field_name)


def enum(files: Files, name: str) -> EnumDescriptorProto:
    return next(found for file in files for found in file.enum_type if found.name == name)


def method(files: Files, name: str) -> MethodDescriptorProto:
    services = [service for file in files for service in file.service]
    return next(found for service in services for found in service.method if found.name == name)


def file_with(files: Files, name: str) -> FileDescriptorProto:
    return next(file for file in files if any(found.name == name for found in file.message_type))


def drop_last(repeated: Any) -> None:
    del repeated[-1]


def edit(target: Any, **values: object) -> None:
    for name, value in values.items():
        setattr(target, name, value)


def leave_the_oneof(target: FieldDescriptorProto) -> None:
    target.ClearField("oneof_index")


SLIPS: dict[str, Slip] = {
    "field number": (
        lambda files: edit(field(files, "CreateKeyResponse", "id"), number=7),
        "viam.app.v1.CreateKeyResponse.id: number is 7, published is 2",
    ),
    "scalar type": (
        lambda files: edit(field(files, "Location", "robot_count"), type=FieldDescriptorProto.TYPE_INT64),
        "viam.app.v1.Location.robot_count: type is 'TYPE_INT64', published is 'TYPE_INT32'",
    ),
    "message type": (
        lambda files: edit(field(files, "APIKeyWithAuthorizations", "api_key"), type_name=".viam.app.v1.Robot"),
        "viam.app.v1.APIKeyWithAuthorizations.api_key: "
        "type is '.viam.app.v1.Robot', published is '.viam.app.v1.APIKey'",
    ),
    "label": (
        lambda files: edit(field(files, "ListKeysResponse", "api_keys"), label=FieldDescriptorProto.LABEL_OPTIONAL),
        "viam.app.v1.ListKeysResponse.api_keys: label is 'LABEL_OPTIONAL', published is 'LABEL_REPEATED'",
    ),
    "presence": (
        lambda files: edit(field(files, "Organization", "cid"), proto3_optional=False),
        "viam.app.v1.Organization.cid: optional is False, published is True",
    ),
    "oneof": (
        lambda files: leave_the_oneof(field(files, "Organization", "cid")),
        "viam.app.v1.Organization.cid: oneof is None, published is '_cid'",
    ),
    "JSON name": (
        lambda files: edit(field(files, "Robot", "last_access"), json_name="seen"),
        "viam.app.v1.Robot.last_access: json_name is 'seen', published is 'lastAccess'",
    ),
    "syntax": (
        lambda files: edit(file_with(files, "SharedSecret"), syntax="proto2"),
        "viam.app.v1.SharedSecret: syntax is 'proto2', published is 'proto3'",
    ),
    "map": (
        lambda files: edit(message(files, "FragmentImport").nested_type[0].options, map_entry=False),
        "viam.app.v1.FragmentImport.VariablesEntry: map_entry is False, published is True",
    ),
    "field left out": (
        lambda files: drop_last(message(files, "Credentials").field),
        "proto.rpc.v1.Credentials.payload: missing",
    ),
    "field made up": (
        lambda files: message(files, "RenameKeyRequest").field.add(name="reason", number=3, type=9, label=1),
        "viam.app.v1.RenameKeyRequest.reason: not published",
    ),
    "message made up": (
        lambda files: file_with(files, "Credentials").message_type.add(name="GrantWish"),
        "proto.rpc.v1.GrantWish: not published",
    ),
    "number of an enum value": (
        lambda files: edit(enum(files, "OnlineState").value[1], number=9),
        "viam.app.v1.OnlineState.ONLINE_STATE_ONLINE: number is 9, published is 1",
    ),
    "number of a nested enum value": (
        lambda files: edit(message(files, "SharedSecret").enum_type[0].value[2], number=9),
        "viam.app.v1.SharedSecret.State.STATE_DISABLED: number is 9, published is 2",
    ),
    "enum value left out": (
        lambda files: drop_last(enum(files, "LoginMethod").value),
        "viam.app.v1.LoginMethod.LOGIN_METHOD_APPLE: missing",
    ),
    "method made up": (
        lambda files: edit(method(files, "DeleteKey"), name="BurnKey"),
        "viam.app.v1.AppService/BurnKey: not published",
    ),
    "input of a method": (
        lambda files: edit(method(files, "DeleteKey"), input_type=".viam.app.v1.RotateKeyRequest"),
        "viam.app.v1.AppService/DeleteKey: "
        "input is '.viam.app.v1.RotateKeyRequest', published is '.viam.app.v1.DeleteKeyRequest'",
    ),
    "output of a method": (
        lambda files: edit(method(files, "DeleteKey"), output_type=".viam.app.v1.RotateKeyResponse"),
        "viam.app.v1.AppService/DeleteKey: "
        "output is '.viam.app.v1.RotateKeyResponse', published is '.viam.app.v1.DeleteKeyResponse'",
    ),
    "streaming from the server": (
        lambda files: edit(method(files, "ListKeys"), server_streaming=True),
        "viam.app.v1.AppService/ListKeys: server_streaming is True, published is False",
    ),
    "streaming from the client": (
        lambda files: edit(method(files, "Authenticate"), client_streaming=True),
        "proto.rpc.v1.AuthService/Authenticate: client_streaming is True, published is False",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_noticed(slip: str, ours: Files, published: Files) -> None:
    make, difference = SLIPS[slip]
    files = list(FileDescriptorSet.FromString(FileDescriptorSet(file=ours).SerializeToString()).file)
    make(files)
    assert descriptors.compare(files, published) == [difference]
