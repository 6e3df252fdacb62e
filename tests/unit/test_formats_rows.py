"""Rows of pieces against Python's own joining of strings."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.formats.rows import Piece, RowText
from argus_client.formats.text import Choice, Sparse, Values

TEXTS = st.text(max_size=3)


@st.composite
def pieces(draw: st.DrawFn, rows: int) -> tuple[str | Piece, list[str]]:
    """A piece, and what it adds to each row."""
    kind = draw(st.sampled_from(["same", "choice", "values", "replaced", "sparse"]))
    of_each = st.lists(TEXTS, min_size=rows, max_size=rows)
    if kind == "same":
        text = draw(TEXTS)
        return text, [text] * rows
    if kind == "choice":
        texts = draw(st.lists(TEXTS, min_size=1, max_size=20))
        place = st.one_of(st.none(), st.integers(0, len(texts) - 1))
        places = draw(st.lists(place, min_size=rows, max_size=rows))
        added = ["" if place is None else texts[place] for place in places]
        return Choice(tuple(texts), pa.array(places, pa.int32())), added
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
    return Sparse(own[0], pa.array(mask), chosen), added


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


def test_a_table_of_all_pairs_stays_small() -> None:
    rows = 200
    places = list(range(rows))
    numbers = Choice(tuple(map(str, places)), pa.array(places, pa.int32()))
    text = RowText(rows)
    for _ in range(3):
        text.add(numbers)
        text.add("\n")
    assert bytes(text.to_buffer()).decode() == "".join(f"{place}\n" * 3 for place in places)
