"""Protobuf by hand: messages that no library would write, and messages of services that the SDK does not know."""

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)


def field(number: int, content: int | str | bytes) -> bytes:
    """A field that is well formed."""
    if isinstance(content, int):
        return tag(number, VARINT) + varint(content)
    if isinstance(content, str):
        content = content.encode()
    return tag(number, LENGTH) + varint(len(content)) + content


def message(**by_number: int | str | bytes) -> bytes:
    """A message of fields named `f1`, `f2`, ..."""
    return b"".join(field(int(name.removeprefix("f")), content) for name, content in by_number.items())
