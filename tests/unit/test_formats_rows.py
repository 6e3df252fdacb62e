"""Rows of pieces against Python's own joining of strings."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.formats.pieces import Choice, Piece, Sparse, Values
from argus_client.formats.records import decimals
from argus_client.formats.rows import RowText

TEXTS = st.text(max_size=3)


@st.composite
def pieces(draw: st.DrawFn, rows: int) -> tuple[Piece, list[str]]:
    """A piece, and what it adds to each row."""
    kind = draw(st.sampled_from(["same", "choice", "records", "values", "replaced", "sparse"]))
    of_each = st.lists(TEXTS, min_size=rows, max_size=rows)
    if kind == "same":
        text = draw(TEXTS)
        return text, [text] * rows
    if kind == "choice":
        texts = draw(st.lists(TEXTS, min_size=1, max_size=20))
        places = draw(st.lists(st.integers(0, len(texts) - 1), min_size=rows, max_size=rows))
        return Choice(tuple(texts), np.array(places, np.uint8)), [texts[place] for place in places]
    if kind == "records":
        greatest = draw(st.integers(0, 2**63 - 1))
        numbers = draw(st.lists(st.integers(0, greatest), min_size=rows, max_size=rows))
        return decimals(np.array(numbers, np.int64), greatest), list(map(str, numbers))
    own = draw(of_each)
    if kind == "values":
        return Values(pa.array(own, pa.string())), own
    mask = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    others = draw(of_each)
    chosen = pa.array([other for other, is_other in zip(others, mask, strict=True) if is_other], pa.string())
    usual = own if kind == "replaced" else [own[0]] * rows
    added = [other if is_other else text for text, other, is_other in zip(usual, others, mask, strict=True)]
    if kind == "replaced":
        return Values(pa.array(own, pa.string()), (pa.array(mask), chosen)), added
    return Sparse(own[0], np.flatnonzero(mask), chosen), added


@given(st.integers(1, 6), st.data())
@settings(max_examples=200, deadline=None)
def test_rows_are_their_pieces_one_behind_the_other(rows: int, data: st.DataObject) -> None:
    text = RowText(rows)
    expected = [""] * rows
    for piece, added in data.draw(st.lists(pieces(rows), min_size=1, max_size=7)):
        text.add(piece)
        expected = [before + after for before, after in zip(expected, added, strict=True)]
    text.add(";")
    assert bytes(text.to_buffer()).decode() == "".join(row + ";" for row in expected)


@given(st.integers(1, 6), st.data())
@settings(max_examples=200, deadline=None)
def test_a_mask_leaves_out_pieces_and_the_text_around_them(rows: int, data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    before, after = data.draw(TEXTS), data.draw(TEXTS)
    of_any_row = pieces(rows).filter(lambda drawn: not isinstance(drawn[0], Values | Sparse))
    piece, added = data.draw(of_any_row)
    text = RowText(rows)
    text.add("[")
    text.add(before, piece, after, mask=np.array(mask))
    text.add("]")
    expected = [before + own + after if is_there else "" for own, is_there in zip(added, mask, strict=True)]
    assert bytes(text.to_buffer()).decode() == "".join(f"[{row}]" for row in expected)


def test_a_table_of_all_pairs_stays_small() -> None:
    rows = 200
    places = list(range(rows))
    numbers = Choice(tuple(map(str, places)), np.array(places, np.uint8))
    text = RowText(rows)
    for _ in range(3):
        text.add(numbers)
        text.add("\n")
    assert bytes(text.to_buffer()).decode() == "".join(f"{place}\n" * 3 for place in places)


def test_a_choice_of_one_text_after_one_of_as_many_as_there_can_be() -> None:
    places = np.arange(255, dtype=np.uint8)
    text = RowText(255)
    text.add(Choice((";",), places * np.uint8(0)))
    text.add(Choice(tuple(map(str, range(255))), places))
    assert bytes(text.to_buffer()).decode() == "".join(f";{place}" for place in range(255))
