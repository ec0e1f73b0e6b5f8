"""Comparison of what AWS describes with what was requested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def includes(current: Any, desired: Any) -> bool:
    """Return True if AWS's description of a resource includes everything that is desired.

    AWS may add keys of its own, such as defaults. Lists have the same length and order, except lists of tags, which AWS
    returns in any order.
    """
    if isinstance(desired, Mapping):
        return isinstance(current, Mapping) and all(includes(current.get(key), desired[key]) for key in desired)
    if isinstance(desired, list | tuple):
        return (
            isinstance(current, list | tuple)
            and len(current) == len(desired)
            and all(includes(a, b) for a, b in zip(_sorted(current), _sorted(desired), strict=True))
        )
    return bool(current == desired)


def _sorted(items: list[Any] | tuple[Any, ...]) -> list[Any]:
    return sorted(items, key=lambda item: str(item.get("Key", "")) if isinstance(item, Mapping) else "")
