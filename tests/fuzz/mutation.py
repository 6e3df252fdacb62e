"""Changes to inputs: of bytes, and of protobuf messages by their fields."""

import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

_INTERESTING = (
    0,
    1,
    7,
    8,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
)
_MAX_REPEATS = 300

_NASTY_TEXTS = (
    "",
    "\0",
    "\ufeff",
    "\x1b[2J",
    "'; DROP TABLE events--",
    "%s%n",
    "../../etc",
    "\U0010ffff",
    "x" * 999,
)


def mutate_bytes(random: Random, data: bytes, words: Sequence[bytes]) -> bytes:
    """One to eight small changes, anywhere."""
    changed = bytearray(data)
    for _ in range(min(8, 1 + int(random.expovariate(0.7)))):
        random.choice(_CHANGES)(random, changed, words)
    return bytes(changed)


def _flip(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _delete(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = random.randrange(len(data) + 1)
    del data[start : start + 1 + int(random.expovariate(0.1))]


def _cut(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[random.randrange(len(data) + 1) :]


def _insert(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(1 + int(random.expovariate(0.3)))


def _insert_word(random: Random, data: bytearray, words: Sequence[bytes]) -> None:
    if words:
        at = random.randrange(len(data) + 1)
        # Over what is there, as often as before it.
        word = random.choice(words)
        data[at : at + random.choice((0, len(word)))] = word


def _copy(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, at = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    data[at:at] = data[start : start + 1 + int(random.expovariate(0.05))]


def _repeat(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = random.randrange(len(data) + 1)
    piece = data[start : start + random.randrange(1, 9)]
    data[start:start] = piece * random.randrange(_MAX_REPEATS)


def _number(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    number = random.choice(_INTERESTING) + random.randrange(-1, 2)
    width = random.choice("BHIQ")
    size = struct.calcsize(width)
    if len(data) >= size:
        at = random.randrange(len(data) - size + 1)
        packed = (number % 256**size).to_bytes(size, random.choice(("little", "big")))
        data[at : at + size] = packed


_CHANGES: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip,
    _set,
    _delete,
    _cut,
    _insert,
    _insert_word,
    _insert_word,
    _copy,
    _repeat,
    _number,
    _number,
)


def mutate_message(random: Random, data: bytes, words: Sequence[bytes], kind: type[Message]) -> bytes:
    """A message of this kind with fields set, cleared or repeated; as bytes, where it is none."""
    message = kind()
    if not message.DESCRIPTOR.fields:
        return mutate_bytes(random, data, words)
    try:
        message.ParseFromString(data)
    except DecodeError:
        return mutate_bytes(random, data, words)
    for _ in range(1 + random.randrange(3)):
        _change_field(random, message, words)
    return message.SerializeToString()


def _change_field(random: Random, message: Message, words: Sequence[bytes]) -> None:
    field: Any = random.choice(message.DESCRIPTOR.fields)
    if random.random() < 0.15:
        message.ClearField(field.name)
        return
    if field.message_type is not None:
        inner = getattr(message, field.name)
        if field.is_repeated:
            inner = random.choice(inner) if len(inner) and random.random() < 0.7 else inner.add()
        else:
            inner.SetInParent()
        if inner.DESCRIPTOR.fields:
            _change_field(random, inner, words)
    elif field.is_repeated:
        values = [_value(random, field, words) for _ in range(random.choice((1, 1, 2, 5, 1001)))]
        getattr(message, field.name).extend(values)
    else:
        setattr(message, field.name, _value(random, field, words))


def _value(random: Random, field: Any, words: Sequence[bytes]) -> object:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return mutate_bytes(random, random.choice(words) if words else b"", words)
        case FieldDescriptor.CPPTYPE_STRING:
            texts = [*_NASTY_TEXTS, *(word.decode(errors="ignore") for word in words)]
            return "".join(random.choices(texts, k=random.choice((1, 1, 1, 2))))
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return random.choice((0.0, -0.0, 1.0, float("nan"), float("inf"), 1e308, random.random()))
        case FieldDescriptor.CPPTYPE_ENUM:
            return random.choice((*(value.number for value in field.enum_type.values), -1, 99, 2**31 - 1))
    bits = 32 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
    number = random.choice((*_INTERESTING, random.getrandbits(bits))) % 2**bits
    is_signed = field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    return number - 2**bits if is_signed and number >= 2 ** (bits - 1) else number
