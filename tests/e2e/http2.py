"""HTTP/2 without a gRPC library on top, for what such a library would not send."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
from grpclib.const import Status

from claviger import Server

Headers = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What came back on a stream."""

    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    closed: bool = False

    @property
    def status(self) -> Status | None:
        status = self.headers.get("grpc-status")
        return None if status is None else Status(int(status))

    @property
    def message(self) -> str | None:
        message = self.headers.get("grpc-message")
        return None if message is None else unquote(message)


class Http2:
    """One connection."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(server.address, timeout=20)
        self._authority = "{}:{}".format(*server.address)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        # The library's Huffman code takes time that grows with the square of a header's length.
        setattr(self._h2.encoder, "encode", partial(self._h2.encoder.encode, huffman=False))
        self._h2.initiate_connection()
        self._flush()

    def close(self) -> None:
        self._socket.close()

    def call(self, path: str, body: bytes, headers: Headers = (), content_type: str = "application/grpc") -> Answer:
        """Sends a request and waits for its end."""
        stream = self.open(path, headers, content_type)
        self.send(stream, body, end=True)
        return self.answer(stream)

    def open(self, path: str, headers: Headers = (), content_type: str = "application/grpc") -> int:
        stream: int = self._h2.get_next_available_stream_id()
        sent = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{path}"),
            (":authority", self._authority),
            ("content-type", content_type),
            ("te", "trailers"),
            *headers,
        ]
        self._h2.send_headers(stream, sent)
        self._flush()
        return stream

    def send(self, stream: int, body: bytes, *, end: bool = False) -> None:
        self._h2.send_data(stream, body, end_stream=end)
        self._flush()

    def reset(self, stream: int) -> None:
        self._h2.reset_stream(stream)
        self._flush()

    def answer(self, stream: int) -> Answer:
        """Reads until the stream ends, however it ends."""
        answer = Answer()
        while True:
            received = self._socket.recv(65_536)
            answer.closed = not received
            for event in self._h2.receive_data(received):
                if getattr(event, "stream_id", stream) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    answer.headers |= {str(name): str(content) for name, content in event.headers}
                answer.reset |= isinstance(event, h2.events.StreamReset)
                answer.closed |= isinstance(event, h2.events.ConnectionTerminated)
                if isinstance(event, h2.events.StreamEnded):
                    return answer
            if answer.closed or answer.reset:
                return answer
            self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())


@contextmanager
def http2(server: Server) -> Iterator[Http2]:
    connection = Http2(server)
    try:
        yield connection
    finally:
        connection.close()


def framed(content: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its five bytes in front."""
    return struct.pack(">BI", flag, len(content) if length is None else length) + content
