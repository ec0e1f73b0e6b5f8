"""Text formats: durations and percentages, tables, checklists, Markdown, and the report that a command prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.errors import UsageError

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
# C0 without tab and line feed, DEL and C1: a terminal acts on them (OSC 52 writes to the clipboard).
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CHECKBOXES = {True: "[x]", False: "[ ] **FAILED**:", None: "[ ] (not checked)"}


@dataclass(frozen=True)
class Report:
    """Output of a command.

    Attributes:
        facts: The result for scripts, printed to stdout as JSON with `--json`.
        text: The result as text, printed to stdout without `--json`.
        summary: Text printed to stderr before the result, with and without `--json`.
    """

    facts: Any
    text: str
    summary: str = ""


@dataclass(frozen=True)
class ChecklistItem:
    """A line of a checklist: passed, failed, or None if it was not checked, and the evidence, or why it does not apply."""

    title: str
    ok: bool | None
    evidence: tuple[str, ...] = ()
    applicable: bool = True


def printable(text: str) -> str:
    """Return text without control characters. What an instance, a build, a log or a tag contains is printed only like this."""
    return _CONTROL_CHARACTERS.sub("", text)


def parse_seconds(text: str) -> int:
    """Return the seconds of a duration such as `90s`, `5m` or `1h`.

    Raises:
        UsageError: The text is not a duration, or the duration is longer than a day.
    """
    match = re.fullmatch(r"(\d{1,6})([smh]?)", text.strip())
    if not match or int(match[1]) * _UNITS[match[2]] > 86400:
        raise UsageError(f"'{text}' is not a duration; expected a form like 90s, 5m or 1h, at most a day")
    return int(match[1]) * _UNITS[match[2]]


def parse_percent(text: str) -> int:
    """Return a percentage from 0 to 100, written with or without the percent sign.

    Raises:
        UsageError: The text is not a percentage.
    """
    match = re.fullmatch(r"(\d{1,3})%?", text.strip())
    if not match or int(match[1]) > 100:
        raise UsageError(f"'{text}' is not a percentage; expected a number from 0 to 100")
    return int(match[1])


def seconds(amount: float) -> str:
    """Format a duration in seconds: `7.3 s`, `2 min 05 s`."""
    if amount < 60:
        return f"{amount:.1f} s"
    return f"{int(amount) // 60} min {int(amount) % 60:02d} s"


def minute(time: str) -> str:
    """Format an ISO 8601 time to the minute: `2026-01-05 03:00`."""
    return time[:16].replace("T", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows as columns, each as wide as its widest cell."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def pairs(facts: Mapping[str, str]) -> str:
    """Format names and values, one pair per line, with aligned values."""
    width = max((len(name) for name in facts), default=0)
    return "\n".join(f"  {name.ljust(width)}  {value}" for name, value in facts.items())


def bullets(title: str, lines: Iterable[str]) -> list[str]:
    """Return a title and its lines as a list; empty if there are no lines."""
    items = [f"  - {line}" for line in lines]
    return [f"\n{title}", *items] if items else []


def numbered(lines: Iterable[str]) -> list[str]:
    """Return the lines, numbered from 1."""
    return [f"  {number}. {line}" for number, line in enumerate(lines, 1)]


def markdown(title: str, facts: Iterable[tuple[str, str]], sections: Mapping[str, Sequence[str]]) -> str:
    """Return a Markdown page: a title, a list of facts, and sections of lines by heading."""
    lines = [f"# {title}", "", *(f"- {name}: {value}" for name, value in facts)]
    for heading, body in sections.items():
        lines += ["", f"## {heading}", "", *body]
    return "\n".join(lines) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def markdown_checklist(items: Iterable[ChecklistItem]) -> list[str]:
    """Return the lines of a Markdown checklist, with the evidence below each item."""
    lines = []
    for item in items:
        checkbox = _CHECKBOXES[item.ok] if item.applicable else "[-]"
        lines += [f"- {checkbox} {item.title}", *(f"  - {line}" for line in item.evidence)]
    return lines
