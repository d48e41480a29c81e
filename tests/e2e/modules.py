"""Uploads and downloads of modules, also such as no SDK would make."""

import gzip
import http.client
import io
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import ProtocolError
from viam.app.app_client import AppClient
from viam.gen.app.packages.v1 import packages_pb2
from viam.gen.app.v1 import app_pb2
from viam.proto.app import ModuleFileInfo

from claviger import ApiKey, Server
from wire import APP, Wire

UPLOAD = f"{APP}/UploadModuleFile"
GET_PACKAGE = "viam.app.packages.v1.PackageService/GetPackage"
# What the `viam` CLI sends in one message.
CHUNK = 32 * 1024


def archive(size: int = 0) -> bytes:
    """A module as it is uploaded: a gzipped tar archive, with so many bytes that do not compress."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo("run.sh")
        script = b"#!/bin/sh\nexec true\n" + random.Random(size).randbytes(size)
        entry.size = len(script)
        tar.addfile(entry, io.BytesIO(script))
    return gzip.compress(content.getvalue(), 1)


def info(module_id: str, version: str = "1.0.0", platform: str = "linux/amd64", **more: Any) -> ModuleFileInfo:
    return ModuleFileInfo(module_id=module_id, version=version, platform=platform, **more)


def announced(file: ModuleFileInfo) -> bytes:
    message: bytes = app_pb2.UploadModuleFileRequest(module_file_info=file).SerializeToString()
    return message


def chunks(content: bytes, size: int = CHUNK) -> list[bytes]:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return [app_pb2.UploadModuleFileRequest(file=piece).SerializeToString() for piece in pieces]


def open_upload(wire: Wire) -> Any:
    """The stream of an upload, to be entered."""
    metadata = wire._metadata(None)
    return wire._channel.request(f"/{UPLOAD}", Cardinality.STREAM_UNARY, bytes, bytes, metadata=metadata)


async def send(wire: Wire, messages: Sequence[bytes], *, to_the_end: bool = True) -> Message | None:
    """Sends the messages of an upload, and either ends it or breaks it off."""
    async with open_upload(wire) as opened:
        try:
            await opened.send_request()
            for message in messages:
                await opened.send_message(message)
            if not to_the_end:
                await opened.cancel()
                return None
            await opened.end()
        except (StreamTerminatedError, ProtocolError, GRPCError):
            # Refused before the end: the answer says why.
            pass
        reply = await opened.recv_message()
        assert reply is not None
        return app_pb2.UploadModuleFileResponse.FromString(reply)


async def package(wire: Wire, id: str, version: str, **more: Any) -> packages_pb2.Package:
    request = packages_pb2.GetPackageRequest(id=id, version=version, include_url=True, **more)
    reply = await wire.raw(GET_PACKAGE, request.SerializeToString())
    return packages_pb2.GetPackageResponse.FromString(reply).package


async def new_module(owner: AppClient, organization_id: str, name: str) -> str:
    module_id, url = await owner.create_module(organization_id, name)
    assert url == ""
    return module_id


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(server: Server, url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
    """Downloads, as a program that speaks HTTP/1.1 would."""
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    try:
        connection.request(method, url.removeprefix(server.url), headers=dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


def by_key(key: ApiKey) -> dict[str, str]:
    """How the `viam` CLI presents a key to a download."""
    return {"key_id": key.id, "key": key.value}


def stored(server: Server) -> list[Path]:
    """The files of modules that lie on the server's disk, whole or not."""
    return sorted((server.data / "files" / "modules").iterdir())
