"""The error that the command line prints as a message instead of a traceback."""

from __future__ import annotations


class CloudError(Exception):
    """The local cloud cannot carry out a request; the message says why and how to fix it."""


class NotOurCloudError(CloudError):
    """Another process answers at the recorded address."""
