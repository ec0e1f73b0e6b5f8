"""Admission of requests: none from web pages, none for other hosts, none to moto's own API, and only to services that are
offered. Who sent a request is proved by its signature (signatures.py)."""

from __future__ import annotations

import posixpath
from typing import Any
from urllib.parse import unquote

from localcloud.core import request
from localcloud.machines.interface import API_ADDRESS

GUEST_HOSTS = (API_ADDRESS, f"{API_ADDRESS}:80")
UNIX_SOCKET = "<local>"  # werkzeug's REMOTE_ADDR there
CONTROL, MOTO = "/_localcloud", "/moto-api"
# What goldenami and the applications that it runs use.
SERVICES = frozenset(
    {
        *(
            "autoscaling",
            "cloudwatch",
            "codebuild",
            "ec2",
            "elasticloadbalancing",
            "events",
            "iam",
            "kms",
            "logs",
            "monitoring",
        ),
        *(
            "pricing",
            "rds",
            "s3",
            "scheduler",
            "secretsmanager",
            "servicequotas",
            "sns",
            "sqs",
            "ssm",
            "sts",
            "tagging",
        ),
    }
)


def refusal_response(environ: dict[str, Any], endpoint: str) -> tuple[str, list[tuple[str, str]], bytes] | None:
    """Return the response (403) to a request that is not admitted, without reading its body; None for others.

    Args:
        environ: The WSGI request.
        endpoint: The main listener's address and port.
    """
    message = refusal_reason(environ, endpoint)
    if message is None:
        return None
    call = parse_headers(environ)
    code = "UnauthorizedOperation" if call.service == "ec2" else "AccessDenied"
    return request.error_response(call, "AccessDeniedException" if call.json else code, message, 403)


def refusal_reason(environ: dict[str, Any], endpoint: str) -> str | None:
    """Return why a request is refused; None if it is admitted."""
    caller, host = environ.get("REMOTE_ADDR", ""), environ.get("HTTP_HOST", "")
    hosts = GUEST_HOSTS if caller == UNIX_SOCKET else (endpoint,)
    if host not in hosts:  # DNS rebinding
        return f"The local cloud answers requests to the host {hosts[0]} only."
    if "HTTP_ORIGIN" in environ or environ["REQUEST_METHOD"] == "OPTIONS":
        return "The local cloud answers no web page."
    if environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":  # none: the user opened the URL, such as a presigned one
        return "The local cloud answers no web page."
    path = normalize_path(environ["PATH_INFO"])
    if path.startswith(MOTO):
        return "The local cloud does not offer moto's own API."
    if not path.startswith(CONTROL) and (service := request.signing_service(environ)) not in SERVICES:
        return f"The local cloud does not offer the service {service}."
    return None


def normalize_path(path: str) -> str:
    """Return the path fully decoded, in lower case, without empty and dot segments."""
    while (decoded := unquote(path)) != path:
        path = decoded
    return "/" + posixpath.normpath("/" + path.replace("\\", "/")).lower().lstrip("/")


def parse_headers(environ: dict[str, Any]) -> request.Call:
    """Return the call as far as the headers specify it, for the format of an error."""
    call = request.parse_call(environ, b"")
    form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    json = (call.json and not form) or normalize_path(environ["PATH_INFO"]).startswith(CONTROL)
    return request.Call(call.service, call.action, call.read_only, json)
