"""What a request asks of which service, and how that service writes an error."""

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
    """One request: the service's signing name (`ec2`), the action (`RunInstances`), whether it changes nothing."""

    service: str
    action: str
    read_only: bool
    json: bool


def read_body(environ: dict[str, Any]) -> bytes:
    """Take the body off the socket (before the lock: a slow client must hold up nobody) and leave it readable."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ["CONTENT_LENGTH"] = str(len(body))
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body)


def signing_service(environ: dict[str, Any]) -> str:
    """The signing name of the service that a request is for; S3 where it is not signed in its header."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return scope[1].lower() if scope else "s3"


def parse_call(environ: dict[str, Any], body: bytes) -> Call:
    name = signing_service(environ)
    method = environ["REQUEST_METHOD"]
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        action = target.rpartition(".")[2]
        return Call(name, action, bool(READ_ACTIONS.match(action)), json=True)
    query = environ.get("QUERY_STRING", "")
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        query += "&" + body.decode("utf-8", "replace")
    if found := parse_qs(query).get("Action"):
        return Call(name, found[0], bool(READ_ACTIONS.match(found[0])), json=False)
    rest = name not in ("s3", "cloudfront", "route53")
    return Call(name, method, method in ("GET", "HEAD", "OPTIONS"), json=rest)


def error_response(call: Call, code: str, message: str, status: int) -> tuple[str, list[tuple[str, str]], bytes]:
    """(status line, headers, body) of an error, in the form that the service's clients parse."""
    request, text = str(uuid.uuid4()), escape(message)
    kind = "text/xml;charset=UTF-8"
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
        who = "Sender" if status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{who}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            f"<RequestId>{request}</RequestId></ErrorResponse>"
        )
    content = body.encode()
    return f"{status} Error", [*headers, ("Content-Type", kind), ("Content-Length", str(len(content)))], content


def throttling_response(call: Call) -> tuple[str, list[tuple[str, str]], bytes]:
    """The service's own throttling error."""
    if call.service == "ec2":
        return error_response(call, "RequestLimitExceeded", "Request limit exceeded.", 503)
    if call.service == "s3":
        return error_response(call, "SlowDown", "Please reduce your request rate.", 503)
    return error_response(call, "ThrottlingException" if call.json else "Throttling", "Rate exceeded", 400)
