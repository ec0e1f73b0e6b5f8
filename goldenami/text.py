"""Durations and percentages as an operator writes them: `90s`, `5m`, `1h`, `25`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from goldenami.errors import UsageError

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse_seconds(text: str) -> int:
    """A duration in seconds.

    Raises:
        UsageError: It is none, or longer than a day.
    """
    found = re.fullmatch(r"(\d{1,6})([smh]?)", text.strip())
    if not found or int(found[1]) * _UNITS[found[2]] > 86400:
        raise UsageError(f"'{text}' is not a duration; expected a form like 90s, 5m or 1h, at most a day")
    return int(found[1]) * _UNITS[found[2]]


def parse_percent(text: str) -> int:
    """A percentage from 0 to 100, with or without its sign.

    Raises:
        UsageError: It is none.
    """
    found = re.fullmatch(r"(\d{1,3})%?", text.strip())
    if not found or int(found[1]) > 100:
        raise UsageError(f"'{text}' is not a percentage; expected a number from 0 to 100")
    return int(found[1])


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
