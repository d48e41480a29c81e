"""Protobuf declarations as comparable facts.

Two sources: what the installed viam-sdk was generated from, and what `proto/` of this repository declares. A fact
is a name with what clients depend on: numbers, types, presence, streaming. Comments, file names, the order of
declarations and options that never reach the wire are not compared.
"""

import importlib
import importlib.metadata
import os
import pkgutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import viam.gen
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

REPOSITORY = Path(__file__).resolve().parents[2]

Fact = dict[str, object]
Facts = dict[str, Fact]

_TYPES = {number: name for name, number in FieldDescriptorProto.Type.items()}
_LABELS = {number: name for name, number in FieldDescriptorProto.Label.items()}
_NOT_PACKABLE = {
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_MESSAGE,
    FieldDescriptorProto.TYPE_GROUP,
}


def sdk_version() -> str:
    return importlib.metadata.version("viam-sdk")


def published() -> list[FileDescriptorProto]:
    """The files that the installed SDK was generated from."""
    files = {}
    for module in pkgutil.walk_packages(viam.gen.__path__, "viam.gen."):
        if module.name.endswith("_pb2"):
            file = FileDescriptorProto()
            importlib.import_module(module.name).DESCRIPTOR.CopyToProto(file)
            files[file.name] = file
    return [files[name] for name in sorted(files)]


def ours() -> list[FileDescriptorProto]:
    """The files of `proto/`: read from where CLAVIGER_DESCRIPTORS says, else asked of the `wire` crate."""
    path = os.environ.get("CLAVIGER_DESCRIPTORS")
    if path:
        encoded = Path(path).read_bytes()
    else:
        command = ["cargo", "run", "--quiet", "--package", "wire", "--example", "descriptors"]
        encoded = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout
    return list(FileDescriptorSet.FromString(encoded).file)


def is_viams(file: FileDescriptorProto) -> bool:
    """Whether a file is part of Viam's interface, and so has to be as Viam publishes it."""
    return f"{file.package}.".startswith(("viam.", "proto.rpc."))


def compare(mine: Iterable[FileDescriptorProto], reference: Iterable[FileDescriptorProto]) -> list[str]:
    """What differs. Mine may leave out messages, enums, services and methods, but nothing within a message or enum."""
    here, there = facts(mine), facts(reference)
    differences = []
    for name, fact in here.items():
        if name not in there:
            differences.append(f"{name}: not published")
            continue
        for key in sorted(fact.keys() | there[name].keys()):
            if fact.get(key) != there[name].get(key):
                differences.append(f"{name}: {key} is {fact.get(key)!r}, published is {there[name].get(key)!r}")
    for name, fact in there.items():
        if name not in here and fact.get("part_of") in here:
            differences.append(f"{name}: missing")
    return differences


def facts(files: Iterable[FileDescriptorProto]) -> Facts:
    """Everything that the files declare, by full name."""
    found: Facts = {}
    for file in files:
        for message in file.message_type:
            found.update(_message(file.package, message, file))
        for enum in file.enum_type:
            found.update(_enum(file.package, enum))
        for service in file.service:
            name = f"{file.package}.{service.name}"
            found[name] = {"kind": "service"}
            for method in service.method:
                found[f"{name}/{method.name}"] = {
                    "kind": "method",
                    "input": method.input_type,
                    "output": method.output_type,
                    "client_streaming": method.client_streaming,
                    "server_streaming": method.server_streaming,
                }
    return found


def _message(scope: str, message: DescriptorProto, file: FileDescriptorProto) -> Iterator[tuple[str, Fact]]:
    name = f"{scope}.{message.name}"
    # The syntax decides how a field that is not set looks on the wire.
    yield name, {"kind": "message", "syntax": file.syntax, "map_entry": message.options.map_entry}
    for field in message.field:
        yield f"{name}.{field.name}", {"kind": "field", "part_of": name, **_field(message, field, file)}
    for nested in message.nested_type:
        yield from _message(name, nested, file)
    for enum in message.enum_type:
        yield from _enum(name, enum)


def _field(message: DescriptorProto, field: FieldDescriptorProto, file: FileDescriptorProto) -> Fact:
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    packed = field.options.packed if field.options.HasField("packed") else file.syntax == "proto3"
    return {
        "number": field.number,
        "type": field.type_name or _TYPES[field.type],
        "label": _LABELS[field.label],
        "optional": field.proto3_optional,
        "oneof": message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None,
        "json_name": field.json_name,
        "packed": repeated and field.type not in _NOT_PACKABLE and packed,
    }


def _enum(scope: str, enum: EnumDescriptorProto) -> Iterator[tuple[str, Fact]]:
    name = f"{scope}.{enum.name}"
    yield name, {"kind": "enum"}
    for value in enum.value:
        yield f"{name}.{value.name}", {"kind": "enum value", "part_of": name, "number": value.number}
