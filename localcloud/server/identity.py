"""Who sent a request: the cloud's owner, or a role or user of its account; the error for everybody else."""

from __future__ import annotations

from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from localcloud.core import request
from localcloud.core.cloud import ACCOUNT
from localcloud.credentials import Credentials
from localcloud.server.signatures import SignatureError

Response = tuple[str, list[tuple[str, str]], bytes]

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
_S3 = {
    "missing": ("AccessDenied", 403),
    "unknown key": ("InvalidAccessKeyId", 403),
    "mismatch": ("SignatureDoesNotMatch", 403),
    "expired": ("AccessDenied", 403),
    "skewed": ("RequestTimeTooSkewed", 403),
    "payload": ("XAmzContentSHA256Mismatch", 400),
}
_QUERY = {
    "missing": ("MissingAuthenticationToken", 403),
    "unknown key": ("InvalidClientTokenId", 403),
    "expired": ("RequestExpired", 400),
}
_JSON = {"missing": ("MissingAuthenticationTokenException", 400), "unknown key": ("UnrecognizedClientException", 400)}


def find_credentials(owner: Credentials, access_key: str) -> Credentials | None:
    """Return the credentials with an access key id: the owner's, of a role session, or of an IAM user."""
    if access_key == owner.access_key:
        return owner
    for session in sts_backends[ACCOUNT]["aws"].assumed_roles:
        if session.access_key_id == access_key:
            return Credentials(access_key, session.secret_access_key, session.session_token, session.arn)
    for user in iam_backends[ACCOUNT]["aws"].users.values():
        for key in user.access_keys:
            if key.access_key_id == access_key and key.status == "Active":
                return Credentials(access_key, key.secret_access_key, "", user.arn)
    return None


def error_response(call: request.Call, error: SignatureError) -> Response:
    """Return the error of a request whose sender is not proved, with the service's code."""
    if call.service == "ec2":
        message = "AWS was not able to validate the provided access credentials"
        return request.error_response(call, "AuthFailure", message, 401)
    codes: dict[str, Any] = _S3 if call.service == "s3" else _JSON if call.json else _QUERY
    default = ("InvalidSignatureException", 400) if call.json else ("SignatureDoesNotMatch", 403)
    code, status = codes.get(error.kind, default)
    return request.error_response(call, code, str(error), status)
