"""Events as JSON objects (RFC 8259), a whole batch at a time."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.arrow import Mask
from argus_client.formats.metadata import compact_json
from argus_client.formats.options import TimePrecision
from argus_client.formats.pieces import Choice, Piece, Sparse, Values
from argus_client.formats.rows import RowText
from argus_client.formats.text import (
    Kind,
    decoded,
    instants,
    kind_of,
    mask_of_values,
    numbers,
    shared_texts,
    texts_of,
    utf8_of,
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
    # Which rows have a member already, and so a comma before the next; None: all.
    begun: Mask | None = np.zeros(batch.num_rows, np.bool_)
    for key, column in zip(keys, batch.columns, strict=True):
        kind = kind_of(key, column.type)
        if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            column = decoded(column)
        if column.null_count == len(column):
            continue
        mask = mask_of_values(column)
        lead, values, trail = _member(key, kind, column, precision)
        if begun is None:
            lead = "," + lead
        elif begun.any():
            rows.add(",", mask=begun if mask is None else begun & mask)
        begun = None if begun is None or mask is None else begun | mask
        rows.add(lead, values, trail, mask=mask)
    rows.add("}" + after)
    return rows.to_buffer()


def _member(key: str, kind: Kind, column: pa.Array, precision: TimePrecision) -> tuple[str, Piece, str]:
    """What is before the values, these, and what is after them."""
    lead = f'"{_escaped_text(key)}":'
    match kind:
        case Kind.INSTANT:
            return f'{lead}"', instants(column, precision), 'Z"'
        case Kind.NUMBER:
            return lead, numbers(column, non_finite="null"), ""
        case Kind.TEXT:
            return f'{lead}"', _escaped(key, column), '"'


@lru_cache(maxsize=256)
def _escaped_text(text: str) -> str:
    return compact_json(text)[1:-1]


def _escaped(key: str, column: pa.Array) -> Choice | Values | Sparse:
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
    return texts_of(text)
