"""What AWS's errors mean, in one sentence and with the next command."""

from __future__ import annotations

from botocore import exceptions

from goldenami.errors import AwsError

_DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}
_BAD_CREDENTIALS = {
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "ExpiredToken",
    "RequestExpired",
}
_THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"}


def code(error: exceptions.ClientError) -> str:
    """AWS's error code, like `InvalidAMIID.NotFound`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: BaseException) -> AwsError | None:
    """Turn what boto3 raised into our error, or None when it is not boto3's.

    Args:
        error: Any exception.
    """
    if isinstance(error, exceptions.ClientError):
        what, said = code(error), error.response.get("Error", {}).get("Message", "")
        call = error.operation_name
        if what in _DENIED:
            return AwsError(f"AWS does not allow {call} with these credentials: {said}", next="./invoke doctor")
        if what in _BAD_CREDENTIALS:
            return AwsError(f"AWS does not accept the credentials ({what})", next="aws sts get-caller-identity")
        if what in _THROTTLED:
            return AwsError(f"AWS throttled {call} for longer than we retry ({what})", next="the same command, later")
        return AwsError(f"AWS refused {call}: {said} ({what})")
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return AwsError("no AWS credentials were found", next="aws configure, or set AWS_PROFILE")
    if isinstance(error, exceptions.HTTPClientError | exceptions.EndpointConnectionError):
        return AwsError(f"AWS cannot be reached: {error}", next="./invoke doctor")
    if isinstance(error, exceptions.BotoCoreError):
        return AwsError(f"AWS: {error}")
    return None
