"""Select the parametrized cases that run by default; the others run with `./invoke test --long`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[str], *always: str) -> list[Any]:
    """Return all cases as pytest parameters; those that are not in `always` get the marker `long`."""
    named = list(cases)
    assert set(always) <= set(named), always
    return [pytest.param(case, marks=() if case in always else pytest.mark.long) for case in named]
