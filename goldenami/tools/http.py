"""HTTP requests: probe a health path as a load balancer does, and post to a webhook."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from goldenami.errors import ToolError
from goldenami.text import printable
from goldenami.tools.clock import SystemClock

_MAX_BODY = 1024**2  # bytes of a response that are read


@dataclass(frozen=True)
class Probe:
    """Result of a health probe.

    Attributes:
        ok: True for a 2xx status.
        detail: The response, or the error.
        answered: False if nothing of the host was reached, as in a timeout. A refused connection is an answer.
    """

    ok: bool
    detail: str
    answered: bool = True


def probe(url: str, timeout: float = 5) -> Probe:
    """Request a URL once, without proxies or redirects; the timeout holds for the connection, and again for the response."""
    tls = [urllib.request.HTTPSHandler(context=_tls_context())] if url.startswith("https:") else []
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect, *tls)
    try:
        with opener.open(url, timeout=timeout) as response:
            return Probe(200 <= response.status < 300, f"HTTP {response.status} from {url}")
    except urllib.error.HTTPError as error:
        return Probe(False, f"HTTP {error.code} from {url}")
    except (OSError, http.client.HTTPException) as error:
        return _no_answer(url, error)


def check(url: str, *, status: int, contains: str, max_seconds: float) -> Probe:
    """Request a URL once, as `probe` does, and compare status, body and duration; `detail` has the body's first line."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AnyStatus)
    clock, body = SystemClock(), b""
    deadline = clock.monotonic() + max_seconds
    try:
        with opener.open(url, timeout=max_seconds) as response:
            code = response.status
            while clock.monotonic() < deadline and len(body) < _MAX_BODY and (chunk := response.read1(_MAX_BODY)):
                body += chunk
    except (OSError, http.client.HTTPException) as error:
        return _no_answer(url, error)
    text = body.decode("utf-8", "replace")
    first = printable(next((line.strip() for line in text.splitlines() if line.strip()), "an empty body"))[:200]
    if code != status:
        return Probe(False, f"HTTP {code} from {url}, expected {status}: {first}")
    if clock.monotonic() >= deadline:
        return Probe(False, f"HTTP {code} from {url}, not complete after {max_seconds:g} s")
    if contains not in text:
        return Probe(False, f"HTTP {code} from {url} without '{contains}': {first}")
    return Probe(True, f"HTTP {code} from {url}")


def post(url: str, payload: Mapping[str, Any], timeout: float = 10) -> None:
    """Post JSON to a webhook. The URL is a secret: error messages contain only its host.

    Raises:
        ToolError: The URL is neither https nor of this machine, or the response is missing or not 2xx.
    """
    parts = urlsplit(url.strip())
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and host in ("127.0.0.1", "::1", "localhost")):
        raise ToolError("the webhook's URL is not https", next="write the right URL to its parameter")
    body = json.dumps(payload, ensure_ascii=False).encode()
    request = urllib.request.Request(  # noqa: S310  # the scheme is checked above
        url.strip(), data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout).close()
    except urllib.error.HTTPError as error:
        raise ToolError(f"the webhook at {host} answered HTTP {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ToolError(f"the webhook at {host} did not respond: {type(error).__name__}") from None


def public_address() -> str:
    """Return the public IP address of this machine, as AWS sees it.

    Raises:
        ToolError: The service did not respond.
    """
    try:
        with urllib.request.urlopen("https://checkip.amazonaws.com", timeout=10) as response:
            return str(ipaddress.ip_address(response.read(64).decode().strip()))
    except (OSError, ValueError):
        raise ToolError(
            "the public address of this machine is unknown: https://checkip.amazonaws.com did not respond",
            next="set ssh_cidrs of the target in golden.toml",
        ) from None


def _no_answer(url: str, error: Exception) -> Probe:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    return Probe(False, f"no answer from {url}: {reason}", answered=isinstance(reason, ConnectionRefusedError))


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Returns every response, whatever its status, instead of raising an error or following a redirect."""

    def http_response(
        self,
        request: urllib.request.Request,  # noqa: ARG002
        response: http.client.HTTPResponse,
    ) -> http.client.HTTPResponse:
        return response

    https_response = http_response


def _tls_context() -> ssl.SSLContext:
    # The certificate of a load balancer is for the site's domain, not for the name that AWS gives the load balancer.
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None
