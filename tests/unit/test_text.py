"""Text formats: tables, durations, checklists, Markdown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from goldenami.text import ChecklistItem, markdown, markdown_checklist, markdown_table, pairs, printable, seconds, table

cell = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=12)


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(cell, min_size=n, max_size=n), min_size=1, max_size=6)))
def test_table_aligns_columns(rows: list[list[str]]) -> None:
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


def test_table_without_rows_is_its_head() -> None:
    assert table(["VERSION", "ID"], []) == "VERSION  ID"


def test_table_with_a_row_of_another_length_raises() -> None:
    with pytest.raises(ValueError, match="zip"):
        table(["A"], [["1", "2"]])


def test_pairs_aligns_values() -> None:
    assert pairs({"id": "ami-1", "version": "v1.0"}) == "  id       ami-1\n  version  v1.0"
    assert pairs({}) == ""


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.0 s"), (7.34, "7.3 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (125.9, "2 min 05 s"), (3600, "60 min 00 s")],
)
def test_seconds_formats_durations(amount: float, text: str) -> None:
    assert seconds(amount) == text


def test_markdown_has_title_facts_and_sections() -> None:
    text = markdown("web v1.0", [("Image", "ami-1")], {"Changes": ["- none"]})
    assert text == "# web v1.0\n\n- Image: ami-1\n\n## Changes\n\n- none\n"


def test_markdown_table_escapes_pipes() -> None:
    assert markdown_table(["a", "b"], [["x|y", "z"]]) == ["| a | b |", "|---|---|", "| x\\|y | z |"]


def test_markdown_checklist_marks_each_result_and_lists_evidence() -> None:
    items = [ChecklistItem("built", True, ("in 3 s",)), ChecklistItem("healthy", False), ChecklistItem("shifted", None)]
    assert markdown_checklist(items) == [
        "- [x] built",
        "  - in 3 s",
        "- [ ] **FAILED**: healthy",
        "- [ ] (not checked) shifted",
    ]


@given(st.text())
def test_printable_keeps_all_but_control_characters(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) == "Cc"]
    assert shown == "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")
