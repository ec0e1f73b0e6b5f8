"""AWS requests: the service and action that a request names, and errors in the format of each service."""

from __future__ import annotations

import io
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

READ_ACTIONS = re.compile(r"^(Describe|Get|List|Head|Search|Lookup|BatchGet|Query|Scan|Filter)")


@dataclass(frozen=True)
class Call:
    """One request: the service's signing name (`ec2`), the action (`RunInstances`), and its properties."""

    service: str
    action: str
    read_only: bool
    json: bool


def read_body(environ: dict[str, Any]) -> bytes:
    """Read the body and leave it readable for moto. Called without the lock, as a client may be slow."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body)


def signing_service(environ: dict[str, Any]) -> str:
    """Return the signing name of the request's service; S3 if the request has no Authorization header."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return scope[1].lower() if scope else "s3"


def parse_call(environ: dict[str, Any], body: bytes) -> Call:
    """Return the service and action of a request."""
    name, method = signing_service(environ), environ["REQUEST_METHOD"]
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        action = target.rpartition(".")[2]
        return Call(name, action, bool(READ_ACTIONS.match(action)), json=True)
    query = environ.get("QUERY_STRING", "")
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        query += "&" + body.decode("utf-8", "replace")
    if actions := parse_qs(query).get("Action"):
        return Call(name, actions[0], bool(READ_ACTIONS.match(actions[0])), json=False)
    return Call(name, method, method in ("GET", "HEAD", "OPTIONS"), json=name not in ("s3", "cloudfront", "route53"))


def error_response(call: Call, code: str, message: str, status: int) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return the status line, headers and body of an error in the service's format."""
    request, text, kind = str(uuid.uuid4()), escape(message), "text/xml;charset=UTF-8"
    headers = [("x-amzn-RequestId", request)]
    if call.json:
        kind = "application/x-amz-json-1.1"
        body = json.dumps({"__type": code, "message": message})
        headers.append(("x-amzn-ErrorType", code))
    elif call.service == "ec2":
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
            f"<RequestID>{request}</RequestID></Response>"
        )
    elif call.service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{text}</Message><RequestId>{request}</RequestId></Error>"
    else:
        source = "Sender" if status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{source}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            f"<RequestId>{request}</RequestId></ErrorResponse>"
        )
    content = body.encode()
    return f"{status} Error", [*headers, ("Content-Type", kind), ("Content-Length", str(len(content)))], content


def throttling_response(call: Call) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return the service's throttling error."""
    if call.service == "ec2":
        return error_response(call, "RequestLimitExceeded", "Request limit exceeded.", 503)
    if call.service == "s3":
        return error_response(call, "SlowDown", "Please reduce your request rate.", 503)
    return error_response(call, "ThrottlingException" if call.json else "Throttling", "Rate exceeded", 400)
