"""Events as JSON objects (RFC 8259), a whole batch at a time."""

from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.metadata import compact_json
from argus_client.formats.options import TimePrecision
from argus_client.formats.rows import RowText
from argus_client.formats.text import (
    Choice,
    Kind,
    Values,
    conditional,
    decoded,
    instants,
    kind_of,
    numbers,
    shared_texts,
    utf8_of,
    without_most_nulls,
    without_nulls,
)

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
    rows = RowText(batch.num_rows)
    rows.add(before + "{")
    # Which rows have a member already, and so a comma before the next.
    begun: bool | pa.BooleanArray = False
    for key, column in zip(keys, batch.columns, strict=True):
        kind = kind_of(key, column.type)
        if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            column = decoded(column)
        if column.null_count == len(column):
            continue
        column, has_value = without_most_nulls(column)
        if begun is True:
            rows.add(conditional(",", has_value))
        elif begun is not False:
            rows.add(conditional(",", pc.and_(begun, has_value)))
        if begun is False or has_value is True:
            begun = has_value
        elif begun is not True:
            begun = pc.or_(begun, has_value)
        _add_member(rows, key, kind, column, precision, has_value)
    rows.add("}" + after)
    return rows.to_buffer()


def _add_member(
    rows: RowText,
    key: str,
    kind: Kind,
    column: pa.Array,
    precision: TimePrecision,
    has_value: bool | pa.BooleanArray,
) -> None:
    lead, trail = f'"{_escaped_text(key)}":', ""
    values: Choice | Values
    match kind:
        case Kind.INSTANT:
            start, values = instants(column, precision)
            lead, trail = f'{lead}"{start}', 'Z"'
        case Kind.NUMBER:
            values = numbers(column, non_finite="null")
        case Kind.TEXT:
            values = _escaped(key, column)
            lead, trail = f'{lead}"', '"'
    rows.add_values(lead, values, trail, has_value)


@lru_cache(maxsize=256)
def _escaped_text(text: str) -> str:
    return compact_json(text)[1:-1]


def _escaped(key: str, column: pa.Array) -> Choice | Values:
    shared = shared_texts(column)
    if shared is not None:
        return Choice(tuple(_escaped_text(text) for text in shared.texts), shared.places)
    text = decoded(column)
    data = utf8_of(key, text)
    escapes = _PRINTABLE_ESCAPES
    # The least byte tells in one quick pass whether the 32 control characters need looking for.
    lowest = pc.min(pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])).as_py()
    if lowest is not None and lowest < 0x20:
        escapes = escapes | _CONTROL_ESCAPES
    for character, escape in escapes.items():
        if ord(character) in data:
            text = pc.replace_substring(text, character, escape)
    return Values(without_nulls(text))
