"""Thrift's compact protocol, as far as Parquet's footers use it: read, changed, and written again.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from dataclasses import dataclass
from typing import Any

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12
_INTEGERS = {_I16, _I32, _I64}
_LONG_LIST = 15

I16, I64 = _I16, _I64


@dataclass
class List:
    """A list: the type of its values, and these."""

    type: int
    values: list[Any]


class Struct(dict[int, tuple[int, Any]]):
    """Fields by their ids: type and value, which is an int, bool, bytes, List or Struct; of a double,
    its eight bytes."""

    def add_to(self, field: int, number: int) -> None:
        """Adds to the integer in this field, if it is there."""
        if field in self:
            type_, value = self[field]
            self[field] = type_, value + number


def read_struct(data: bytes) -> Struct:
    """The struct that the data begin with. Raises ValueError if they do not begin with one."""
    try:
        return _Reader(data).struct()
    except IndexError:
        raise ValueError("the data end within a Thrift struct") from None


def write_struct(struct: Struct) -> bytes:
    """The struct's bytes; for a struct within it, its own bytes may stand."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def struct(self) -> Struct:
        fields = Struct()
        field = 0
        while head := self._byte():
            delta, type_ = head >> 4, head & 0x0F
            field = field + delta if delta else self._zigzag()
            fields[field] = (
                (_TRUE, type_ == _TRUE) if type_ in (_TRUE, _FALSE) else (type_, self._value(type_))
            )
        return fields

    def _value(self, type_: int) -> Any:
        if type_ in _INTEGERS:
            return self._zigzag()
        if type_ == _BINARY:
            return self._bytes(self._varint())
        if type_ == _STRUCT:
            return self.struct()
        if type_ == _LIST:
            head = self._byte()
            size, of = head >> 4, head & 0x0F
            if size == _LONG_LIST:
                size = self._varint()
            return List(of, [self._value(of) for _ in range(size)])
        if type_ == _DOUBLE:
            return self._bytes(8)
        if type_ in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        raise ValueError(f"Parquet's footers have no Thrift values of type {type_}")

    def _byte(self) -> int:
        self._place += 1
        return self._data[self._place - 1]

    def _bytes(self, size: int) -> bytes:
        self._place += size
        if self._place > len(self._data):
            raise IndexError
        return self._data[self._place - size : self._place]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)


def _write_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for field, (type_, value) in sorted(struct.items()):
        head = (_TRUE if value else _FALSE) if type_ == _TRUE else type_
        if 0 < field - before <= 0x0F:
            out.append(field - before << 4 | head)
        else:
            out.append(head)
            _write_varint(out, _zigzagged(field))
        if type_ != _TRUE:
            _write_value(out, type_, value)
        before = field
    out.append(0)


def _write_value(out: bytearray, type_: int, value: Any) -> None:
    if type_ in _INTEGERS:
        _write_varint(out, _zigzagged(value))
    elif type_ == _BINARY:
        _write_varint(out, len(value))
        out += value
    elif type_ == _STRUCT and isinstance(value, bytes):
        out += value
    elif type_ == _STRUCT:
        _write_struct(out, value)
    elif type_ == _LIST:
        size = len(value.values)
        out.append(min(size, _LONG_LIST) << 4 | value.type)
        if size >= _LONG_LIST:
            _write_varint(out, size)
        for each in value.values:
            _write_value(out, value.type, each)
    elif type_ == _DOUBLE:
        out += value
    else:
        out.append(value)


def _zigzagged(value: int) -> int:
    return value << 1 ^ value >> 63


def _write_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
