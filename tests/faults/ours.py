"""Calls of `claviger.v1`, which no SDK knows: the server describes it when asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from wire import Metadata, Wire

REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

GET_IDENTITY = "claviger.v1.IdentityService/GetIdentity"
WATCH_IDENTITY = "claviger.v1.IdentityService/WatchIdentity"
LIST_KEYS = "claviger.v1.KeyService/ListKeys"
GET_KEY = "claviger.v1.KeyService/GetKey"


@dataclass(frozen=True)
class Ours:
    """The services as one server described them. Any server of the same version understands them."""

    pool: descriptor_pool.DescriptorPool

    @classmethod
    async def described(cls, wire: Wire) -> "Ours":
        it = cls(descriptor_pool.DescriptorPool())
        known: set[str] = set()
        for path in (GET_IDENTITY, LIST_KEYS):
            await it._add(wire, known, ServerReflectionRequest(file_containing_symbol=path.partition("/")[0]))
        return it

    async def call(
        self, wire: Wire, path: str, request: Mapping[str, Any] | None = None, metadata: Metadata | None = None
    ) -> Any:
        service, _, name = path.partition("/")
        method = self.pool.FindServiceByName(service).methods_by_name[name]
        content = json_format.ParseDict(dict(request or {}), GetMessageClass(method.input_type)())
        reply = await wire.raw(path, content.SerializeToString(), metadata)
        return GetMessageClass(method.output_type).FromString(reply)

    async def _add(self, wire: Wire, known: set[str], request: ServerReflectionRequest) -> None:
        """Adds the files of an answer, each after what it imports."""
        async with wire.stream(REFLECTION, request.SerializeToString(), metadata=[]) as stream:
            answer = ServerReflectionResponse.FromString(await stream.recv_message())
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        for file in files:
            if file.name in known:
                continue
            known.add(file.name)
            for imported in file.dependency:
                if imported not in known:
                    await self._add(wire, known, ServerReflectionRequest(file_by_filename=imported))
            self.pool.Add(file)
