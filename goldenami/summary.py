"""What the tasks print for people: short tables and summaries, as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, each as wide as its widest cell."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def pairs(facts: Mapping[str, str]) -> str:
    """Facts one a line, their names aligned."""
    width = max((len(name) for name in facts), default=0)
    return "\n".join(f"  {name.ljust(width)}  {value}" for name, value in facts.items())


def seconds(amount: float) -> str:
    """A duration: `7.3 s`, `2 min 05 s`."""
    if amount < 60:
        return f"{amount:.1f} s"
    return f"{int(amount) // 60} min {int(amount) % 60:02d} s"
