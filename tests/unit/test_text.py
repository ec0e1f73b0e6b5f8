"""Tables and summaries as plain text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenami.text import pairs, seconds, table

cell = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=12)


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(cell, min_size=n, max_size=n), min_size=1, max_size=6)))
def test_every_cell_starts_in_its_column(rows: list[list[str]]) -> None:
    head, *rest = rows
    lines = table(head, rest).split("\n")
    assert len(lines) == len(rows)
    start = 0
    for column in range(len(head)):
        width = max(len(row[column]) for row in rows)
        for line, row in zip(lines, rows, strict=True):
            assert line[start : start + width].rstrip() == row[column]
        start += width + 2
    assert all(line == line.rstrip() for line in lines)


def test_a_table_without_rows_is_its_head() -> None:
    assert table(["VERSION", "ID"], []) == "VERSION  ID"


def test_a_row_that_does_not_fit_the_head_is_a_mistake_not_a_crooked_table() -> None:
    with pytest.raises(ValueError, match="zip"):
        table(["A"], [["1", "2"]])


def test_pairs_align_their_values() -> None:
    assert pairs({"id": "ami-1", "version": "v1.0"}) == "  id       ami-1\n  version  v1.0"
    assert pairs({}) == ""


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (0, "0.0 s"),
        (7.34, "7.3 s"),
        (59.9, "59.9 s"),
        (60, "1 min 00 s"),
        (125.9, "2 min 05 s"),
        (3600, "60 min 00 s"),
    ],
)
def test_durations(amount: float, told: str) -> None:
    assert seconds(amount) == told
