"""Errors of AWS calls: their codes, retries of transient ones, and messages with the next command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from botocore import exceptions

from goldenami.errors import AwsError
from goldenami.tools.clock import Clock, poll

T = TypeVar("T")

_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_BAD_CREDENTIALS = {
    *("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "ExpiredToken", "RequestExpired")
}
_THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"}


def code(error: exceptions.ClientError) -> str:
    """Return AWS's error code, such as `InvalidAMIID.NotFound`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message(error: exceptions.ClientError) -> str:
    """Return AWS's error message."""
    return str(error.response.get("Error", {}).get("Message", ""))


class suppress:
    """Context manager that ends its block silently on an AWS error with one of these codes."""

    def __init__(self, *codes: str) -> None:
        self._codes = codes

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        """Return True, which suppresses the error, if its code is one of those given."""
        return isinstance(error, exceptions.ClientError) and code(error) in self._codes


def retry(
    clock: Clock,
    call: Callable[[], T],
    is_transient: Callable[[exceptions.ClientError], bool],
    *,
    timeout: float,
    every: float,
) -> T:
    """Make a call, again every `every` seconds while AWS refuses it with a transient error; raise it after `timeout`."""
    for _ in poll(clock, timeout, every):
        try:
            return call()
        except exceptions.ClientError as error:
            if not is_transient(error):
                raise
            refused = error
    raise refused


def is_unreachable(error: BaseException) -> bool:
    """Return True if a call failed because the endpoint did not respond."""
    return isinstance(error, exceptions.HTTPClientError | exceptions.EndpointConnectionError)


def explain(error: BaseException) -> AwsError | None:
    """Convert an exception of boto3 into an AwsError; None for any other exception."""
    if isinstance(error, exceptions.ClientError):
        what, call = code(error), error.operation_name
        if what in _DENIED:
            return AwsError(
                f"AWS does not allow {call} with these credentials: {message(error)}", next="./invoke doctor"
            )
        if what in _BAD_CREDENTIALS:
            return AwsError(f"AWS does not accept the credentials ({what})", next="aws sts get-caller-identity")
        if what in _THROTTLED:
            return AwsError(f"AWS throttled {call} for longer than we retry ({what})", next="the same command, later")
        return AwsError(f"AWS refused {call}: {message(error)} ({what})")
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return AwsError("no AWS credentials were found", next="aws configure, or set AWS_PROFILE")
    if is_unreachable(error):
        return AwsError(f"AWS cannot be reached: {error}", next="./invoke doctor")
    if isinstance(error, exceptions.BotoCoreError):
        return AwsError(f"AWS: {error}")
    return None
