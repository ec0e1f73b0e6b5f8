"""Pages of a list, for all Describe and List actions."""

from __future__ import annotations

from typing import TypeVar

from moto.core.exceptions import ServiceException

T = TypeVar("T")


def paginate(
    items: list[T], size: int | None, token: str | None, error: type[ServiceException]
) -> tuple[list[T], str | None]:
    """Return one page of the items (in a stable order; `size` None or 0 for all) and the NextToken of the following page, None on
    the last page. Raises `error`, the service's exception class, with the code InvalidNextToken for an invalid token."""
    if token and not token.isdecimal():
        raise error("InvalidNextToken", f"The token '{token}' is invalid")
    start = int(token or 0)
    end = start + size if size else len(items)
    return items[start:end], str(end) if end < len(items) else None
