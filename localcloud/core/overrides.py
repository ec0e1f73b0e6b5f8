"""Replacement of moto's methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def replace_methods(target: type, *functions: Callable[..., Any]) -> None:
    """Set each function as the method of the same name."""
    for function in functions:
        setattr(target, function.__name__, function)
