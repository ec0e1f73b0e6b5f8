"""Durations and percentages as an operator writes them: `90s`, `5m`, `1h`, `25`."""

from __future__ import annotations

import re

from goldenami.errors import UsageError

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> int:
    """A duration in seconds.

    Raises:
        UsageError: It is none, or longer than a day.
    """
    found = re.fullmatch(r"(\d{1,6})([smh]?)", text.strip())
    if not found or int(found[1]) * _UNITS[found[2]] > 86400:
        raise UsageError(f"'{text}' is not a duration; expected a form like 90s, 5m or 1h, at most a day")
    return int(found[1]) * _UNITS[found[2]]


def percent(text: str) -> int:
    """A percentage from 0 to 100, with or without its sign.

    Raises:
        UsageError: It is none.
    """
    found = re.fullmatch(r"(\d{1,3})%?", text.strip())
    if not found or int(found[1]) > 100:
        raise UsageError(f"'{text}' is not a percentage; expected a number from 0 to 100")
    return int(found[1])
