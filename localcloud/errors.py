"""The one error that this package shows to people: a clear sentence, no traceback."""

from __future__ import annotations


class CloudError(Exception):
    """The local cloud cannot do what was asked; the message says why and what mends it."""
