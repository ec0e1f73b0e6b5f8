"""Which of many like cases run each time; the others run with `./invoke test --long`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[str], *always: str) -> list[Any]:
    """All cases as a test's parameters; those that are not named here carry the marker `long`."""
    named = list(cases)
    assert set(always) <= set(named), always
    return [pytest.param(case, marks=() if case in always else pytest.mark.long) for case in named]
