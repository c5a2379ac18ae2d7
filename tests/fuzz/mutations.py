"""Damage to a model file, each kind a function of (bytes, a random generator, another model).

Blind ones change bytes anywhere. Those that know a format change what its readers follow: in a
flatbuffer offsets, vector lengths and scalars, found by walking from the root as a reader does; in
a protobuf fields of messages, by reflection.
"""

import struct
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Any, Final

import onnx

Mutation = Callable[[bytes, Random, bytes], bytes]

WORDS: Final = (0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 32767, 65535, 65536, 10**6, 2**30)
EXTREMES: Final = (*WORDS, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 2, 2**32 - 4, 2**32 - 128)
WIDE: Final = (*WORDS, -1, -2, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63))
REALS: Final = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e30, 3e38, float("inf"), float("nan"))
TEXTS: Final = ("", "x", "y", "no such name", "\u00fc\n", "a" * 300)


def flip(data: bytes, rng: Random, _: bytes) -> bytes:
    """Up to 8 bytes anywhere, to any value."""
    changed = bytearray(data)
    for _i in range(rng.randint(1, 8)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice([0, 1, 127, 128, 255, *range(256)])
    return bytes(changed)


def truncate(data: bytes, rng: Random, _: bytes) -> bytes:
    """The beginning."""
    return data[: rng.randrange(len(data) + 1)]


def cut_out(data: bytes, rng: Random, _: bytes) -> bytes:
    """Without a piece of up to 64 bytes."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randint(1, 64) :]


def splice(data: bytes, rng: Random, other: bytes) -> bytes:
    """A piece of another model over or between the bytes."""
    start, length = rng.randrange(len(data) + 1), rng.randint(1, 256)
    source = rng.randrange(len(other) + 1)
    piece = other[source : source + length]
    return data[:start] + piece + data[start + rng.choice([0, len(piece)]) :]


def repeat(data: bytes, rng: Random, _: bytes) -> bytes:
    """A piece of its own, again, over or between the bytes."""
    return splice(data, rng, data)


def word(data: bytes, rng: Random, _: bytes) -> bytes:
    """A 32-bit word blown up, aligned as flatbuffers are."""
    if len(data) < 8:
        return data
    changed = bytearray(data)
    _put(changed, 4 * rng.randrange(len(data) // 4), rng)
    return bytes(changed)


def reached(data: bytes, rng: Random, _: bytes) -> bytes:
    """A flatbuffer: words that a reader follows or takes as a length or a value."""
    places = flatbuffer_words(data)
    if not places:
        return data
    changed = bytearray(data)
    for _i in range(rng.randint(1, 3)):
        place = rng.choice(places)
        kind = rng.random()
        if kind < 0.25:
            # An offset to where another one leads: two tables of different types become one.
            target = rng.choice(places)
            struct.pack_into("<I", changed, place, (target - place) & 0xFFFFFFFF)
        elif kind < 0.5:
            source = rng.choice(places)
            changed[place : place + 4] = changed[source : source + 4]
        else:
            _put(changed, place, rng)
    return bytes(changed)


def slots(data: bytes, rng: Random, _: bytes) -> bytes:
    """A flatbuffer: a field of a table dropped, or taken from the place of another."""
    tables = [p for p, _ in _tables(data)]
    if not tables:
        return data
    changed = bytearray(data)
    for _i in range(rng.randint(1, 3)):
        vtable = _vtable(data, rng.choice(tables))
        entries = range(vtable, vtable + int.from_bytes(data[vtable : vtable + 2], "little"), 2)
        value = rng.choice([0, 4, 8, rng.randrange(65536)])
        struct.pack_into("<H", changed, rng.choice(entries), value)
    return bytes(changed)


def field(data: bytes, rng: Random, other: bytes) -> bytes:
    """A protobuf: a scalar, a name, a message or a repeated field of a message changed."""

    def change(proto: Any) -> None:
        for _i in range(rng.randint(1, 3)):
            _change_message(_descend(proto, rng), rng)

    return _edited(data, change) or flip(data, rng, other)


def node_field(data: bytes, rng: Random, other: bytes) -> bytes:
    """A protobuf: the same in one node or one constant, where meaning lies."""

    def change(proto: Any) -> None:
        graph = proto.graph
        _change_message(
            _descend(rng.choice([*graph.node, *graph.node, *graph.initializer, *graph.input]), rng),
            rng,
        )

    return _edited(data, change) or flip(data, rng, other)


def _edited(data: bytes, change: Callable[[Any], None]) -> bytes | None:
    """The model after a change; None where it is too damaged for that already."""
    try:
        proto = onnx.load_model_from_string(data)
        change(proto)
        return bytes(proto.SerializeToString())
    except Exception:  # what the protobuf library raises for damage has no common base
        return None


BLIND: Final = ("flip", "truncate", "cut_out", "splice", "repeat", "word")
MUTATIONS: Final[Mapping[str, Mutation]] = MappingProxyType(
    {
        f.__name__: f
        for f in (flip, truncate, cut_out, splice, repeat, word, reached, slots, field, node_field)
    }
)
KNOWING: Final = {".tflite": ("reached", "reached", "slots"), ".onnx": ("field", "node_field")}
"""What knows a format, by suffix; repeated where it is drawn more often."""


def _put(data: bytearray, place: int, rng: Random) -> None:
    (old,) = struct.unpack_from("<I", data, place)
    near = [old + 1, old - 1, old + 4, old - 4, old ^ 1 << rng.randrange(32), len(data), old * 2]
    struct.pack_into("<I", data, place, rng.choice([*EXTREMES, *near, *near]) & 0xFFFFFFFF)


def flatbuffer_words(data: bytes) -> list[int]:
    """Places of the words that tables below the root hold or point to, vectors' first ones too."""
    places: list[int] = [0]
    for table, size in _tables(data):
        places += range(table, table + size, 4)
        for place in range(table + 4, table + size, 4):
            target = place + int.from_bytes(data[place : place + 4], "little")
            if target + 4 <= len(data):
                count = int.from_bytes(data[target : target + 4], "little")
                places += range(target, min(target + 4 + 4 * min(count, 8), len(data) - 3), 4)
    return [p for p in places if 0 <= p <= len(data) - 4]


def _tables(data: bytes) -> list[tuple[int, int]]:
    """(place, bytes) of what looks like a table and is reached from the root."""
    if len(data) < 8:
        return []
    found: dict[int, int] = {}
    waiting = [int.from_bytes(data[:4], "little")]
    while waiting and len(found) < 2000:
        table = waiting.pop()
        if table in found or not (vtable := _vtable(data, table)):
            continue
        found[table] = size = int.from_bytes(data[vtable + 2 : vtable + 4], "little")
        for place in range(table + 4, min(table + size, len(data) - 4), 4):
            target = place + int.from_bytes(data[place : place + 4], "little")
            waiting.append(target)
            if target + 8 > len(data):
                continue
            count = int.from_bytes(data[target : target + 4], "little")
            for item in range(target + 4, min(target + 4 + 4 * min(count, 64), len(data) - 3), 4):
                waiting.append(item + int.from_bytes(data[item : item + 4], "little"))
    return list(found.items())


def _vtable(data: bytes, table: int) -> int:
    """Where a table's vtable lies; 0 where none can."""
    if not 4 <= table <= len(data) - 4:
        return 0
    vtable = table - int.from_bytes(data[table : table + 4], "little", signed=True)
    if not 4 <= vtable <= len(data) - 4:
        return 0
    entries, size = struct.unpack_from("<HH", data, vtable)
    whole = vtable + entries <= len(data) and table + size <= len(data)
    return vtable if 4 <= entries <= 128 and entries % 2 == 0 and size >= 4 and whole else 0


def _descend(message: Any, rng: Random) -> Any:
    """The message itself or one somewhere below it."""
    while rng.random() < 0.75:
        below: list[Any] = []
        for descriptor, value in message.ListFields():
            if descriptor.message_type is not None:
                below += list(value) if _repeats(value) else [value]
        if not below:
            break
        message = rng.choice(below)
    return message


def _repeats(value: Any) -> bool:
    return hasattr(value, "extend")


def _change_message(message: Any, rng: Random) -> None:
    held = message.ListFields()
    if not held or rng.random() < 0.15:
        _set_some_field(message, rng)
        return
    descriptor, value = rng.choice(held)
    if _repeats(value):
        _change_repeated(descriptor, value, rng)
    elif descriptor.message_type is not None or rng.random() < 0.1:
        message.ClearField(descriptor.name)
    else:
        setattr(message, descriptor.name, _drawn(descriptor, value, rng))


def _set_some_field(message: Any, rng: Random) -> None:
    free = [f for f in message.DESCRIPTOR.fields if f.message_type is None]
    if not free:
        return
    descriptor = rng.choice(free)
    held = getattr(message, descriptor.name)
    if _repeats(held):
        held.append(_drawn(descriptor, None, rng))
    else:
        setattr(message, descriptor.name, _drawn(descriptor, held, rng))


def _change_repeated(descriptor: Any, value: Any, rng: Random) -> None:
    index = rng.randrange(len(value))
    choice = rng.random()
    if choice < 0.25:
        del value[index]
    elif choice < 0.45:
        value.extend([value[index]])
    elif choice < 0.6 and len(value) > 1:
        items = list(value)
        rng.shuffle(items)
        copies = (
            [type(i).FromString(i.SerializeToString()) for i in items]
            if _messages(descriptor)
            else items
        )
        del value[:]
        value.extend(copies)
    elif _messages(descriptor):
        _change_message(value[index], rng)
    else:
        value[index] = _drawn(descriptor, value[index], rng)


def _messages(descriptor: Any) -> bool:
    return descriptor.message_type is not None


def _drawn(descriptor: Any, old: Any, rng: Random) -> Any:
    """A value of the field's type: extreme, near the old one, or another field's."""
    kind = descriptor.cpp_type
    if kind == descriptor.CPPTYPE_STRING:
        if descriptor.type == descriptor.TYPE_BYTES:
            return flip(old or b"\0" * 8, rng, b"") if rng.random() < 0.7 else rng.randbytes(9)
        return rng.choice(TEXTS)
    if kind in (descriptor.CPPTYPE_FLOAT, descriptor.CPPTYPE_DOUBLE):
        return rng.choice(REALS)
    if kind == descriptor.CPPTYPE_ENUM:
        return rng.choice([v.number for v in descriptor.enum_type.values])
    if kind in (descriptor.CPPTYPE_INT64, descriptor.CPPTYPE_UINT64):
        near = [(old or 0) + 1, (old or 0) - 1, -(old or 0)]
        low = 0 if kind == descriptor.CPPTYPE_UINT64 else -(2**63)
        return min(2**63 - 1, max(low, rng.choice([*WIDE, *near, *near, *near])))
    return rng.choice([0, 1, 2, 3, 5, 6, 7, 9, 10, 16, 21, 22, 23, 31, -1 % 2**31, 999])
