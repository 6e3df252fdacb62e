"""Events as JSON objects (RFC 8259), a whole batch at a time."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.metadata import compact_json
from argus_client.formats.options import TimePrecision
from argus_client.formats.text import Kind, affixed, decoded, instants, kind_of, numbers, text_buffer

# Section 7: a quotation mark, a reverse solidus and the control characters must be escaped. The
# reverse solidus goes first, since the others' escapes hold one.
_PRINTABLE_ESCAPES = {c: compact_json(c)[1:-1] for c in '\\"'}
_CONTROL_ESCAPES = {c: compact_json(c)[1:-1] for c in map(chr, range(0x20))}


def objects_text(
    keys: Sequence[str], batch: pa.RecordBatch, precision: TimePrecision, before: str, after: str
) -> pa.Buffer:
    """Each row as an object, with text before and after it.

    Timestamps are RFC 3339 strings; NaN and infinities are null; a NULL's key is left out.
    """
    columns = [
        (key, column)
        for key, column in zip(keys, batch.columns, strict=True)
        if column.null_count < batch.num_rows
    ]
    # Between two members goes a comma. It belongs to the columns around one that every row has.
    anchor = next((place for place, (_, column) in enumerate(columns) if not _null_count(column)), None)
    members: list[str | pa.Array] = []
    for place, (key, column) in enumerate(columns):
        lead = "," if anchor is None or place > anchor else ""
        trail = "," if anchor is not None and place < anchor else ""
        members += _member(key, column, precision, lead, trail)
    if anchor is None and members:
        members = [pc.binary_replace_slice(_joined(members), 0, 1, "")]
    parts = [before, "{", *members, "}", after]
    if not members:
        return pa.py_buffer("".join(parts).encode() * batch.num_rows)
    return text_buffer(_joined(parts))


def _null_count(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
        column = decoded(column)
    return int(column.null_count)


def _member(
    key: str, column: pa.Array, precision: TimePrecision, lead: str, trail: str
) -> list[str | pa.Array]:
    """One column's members, as parts of each row: text of all rows, or arrays."""
    lead += compact_json(key) + ":"
    match kind_of(key, column.type):
        case Kind.INSTANT:
            start, values = instants(column, precision)
            lead, trail = f'{lead}"{start}', f'Z"{trail}'
        case Kind.NUMBER:
            values = _json_numbers(column)
        case Kind.TEXT:
            values = _escaped(column)
            lead, trail = f'{lead}"', f'"{trail}'
    if _null_count(values):
        return [_affixed(values, lead, trail)]
    return [lead, values, trail]


def _json_numbers(column: pa.Array) -> pa.StringArray:
    text = numbers(column)
    if pa.types.is_floating(column.type):
        finite = pc.is_finite(column)
        if not pc.all(finite).as_py():
            text = pc.if_else(finite, text, "null")
    return text


def _escaped(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(column.indices, _escaped(column.dictionary))
    text = decoded(column)
    buffer = text_buffer(text)
    data = buffer.to_pybytes()
    escapes = _PRINTABLE_ESCAPES
    # The least byte tells in one quick pass whether the 32 control characters need looking for.
    lowest = pc.min(pa.Array.from_buffers(pa.uint8(), buffer.size, [None, buffer])).as_py()
    if lowest is not None and lowest < 0x20:
        escapes = escapes | _CONTROL_ESCAPES
    for character, escape in escapes.items():
        if ord(character) in data:
            text = pc.replace_substring(text, character, escape)
    return text


def _affixed(values: pa.Array, before: str, after: str) -> pa.StringArray:
    if pa.types.is_dictionary(values.type):
        return affixed(values.dictionary, before, after).take(values.indices)
    return affixed(values, before, after)


def _joined(parts: Sequence[str | pa.Array]) -> pa.StringArray:
    """The parts of each row put together; NULL adds nothing. At least one is an array."""
    merged: list[str | pa.Array] = [""]
    for part in parts:
        if isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        elif isinstance(part, str):
            merged.append(part)
        else:
            merged += [part, ""]
    # Text around a dictionary goes into its few values: each part of a row costs time.
    for place, part in enumerate(merged):
        if not isinstance(part, str) and pa.types.is_dictionary(part.type):
            merged[place] = _affixed(part, merged[place - 1], merged[place + 1])
            merged[place - 1] = merged[place + 1] = ""
    needed = [part for part in merged if not isinstance(part, str) or part]
    return pc.binary_join_element_wise(*needed, "", null_handling="replace", null_replacement="")
