"""What a running server says it serves, asked through gRPC reflection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from wire import Wire

REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@dataclass(frozen=True)
class Method:
    """A method with the messages it takes and gives, as the server describes them."""

    descriptor: MethodDescriptor

    @property
    def path(self) -> str:
        return f"{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def streaming(self) -> bool:
        return bool(self.descriptor.server_streaming)

    def request(self, content: Mapping[str, Any]) -> bytes:
        message: Message = GetMessageClass(self.descriptor.input_type)()
        json_format.ParseDict(dict(content), message)
        serialized: bytes = message.SerializeToString()
        return serialized

    def reply(self, content: bytes) -> Message:
        return GetMessageClass(self.descriptor.output_type).FromString(content)


async def methods(wire: Wire) -> dict[str, Method]:
    """Every method of every service that the server lists, by path."""
    listed = await _ask(wire, ServerReflectionRequest(list_services="*"))
    services = sorted(service.name for service in listed.list_services_response.service)
    # A pool of its own, so that nothing the SDK knows stands in for what the server says.
    pool = descriptor_pool.DescriptorPool()
    files = _Files(wire, pool)
    for service in services:
        await files.add_those_of(ServerReflectionRequest(file_containing_symbol=service))
    described = [pool.FindServiceByName(service) for service in services]
    found = [Method(method) for service in described for method in service.methods]
    return {method.path: method for method in found}


class _Files:
    """Fills a pool with files, each after what it imports."""

    def __init__(self, wire: Wire, pool: descriptor_pool.DescriptorPool) -> None:
        self._wire = wire
        self._pool = pool
        self._sent: dict[str, FileDescriptorProto] = {}
        self._added: set[str] = set()

    async def add_those_of(self, question: ServerReflectionRequest) -> None:
        """Adds the files of an answer; the server may or may not have sent along what they import."""
        answer = await _ask(self._wire, question)
        files = answer.file_descriptor_response.file_descriptor_proto
        assert files, f"listed and not described: {question}"
        parsed = [FileDescriptorProto.FromString(file) for file in files]
        self._sent |= {file.name: file for file in parsed}
        for file in parsed:
            await self._add(file)

    async def _add(self, file: FileDescriptorProto) -> None:
        if file.name in self._added:
            return
        self._added.add(file.name)
        for name in file.dependency:
            if name in self._sent:
                await self._add(self._sent[name])
            else:
                await self.add_those_of(ServerReflectionRequest(file_by_filename=name))
        self._pool.Add(file)


async def _ask(wire: Wire, request: ServerReflectionRequest) -> ServerReflectionResponse:
    async with wire.stream(REFLECTION, request.SerializeToString(), metadata=[]) as stream:
        received: bytes = await stream.recv_message()
    answer = ServerReflectionResponse()
    answer.ParseFromString(received)
    return answer
