"""The door to HTTP: probe a health path the way a load balancer does, and post to a webhook."""

from __future__ import annotations

import http.client
import ipaddress
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from goldenami.errors import ToolError


@dataclass(frozen=True)
class Probe:
    """What a health path answered: `ok` for a 2xx status; `detail` says what was seen."""

    ok: bool
    detail: str


def probe(url: str, timeout: float = 5) -> Probe:
    """GET a URL once, without proxies or redirects.

    Args:
        url: Like `http://203.0.113.7:8080/health`.
        timeout: Seconds to wait for the connection, and again for the answer.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(url, timeout=timeout) as answer:
            return Probe(200 <= answer.status < 300, f"HTTP {answer.status} from {url}")
    except urllib.error.HTTPError as error:
        return Probe(False, f"HTTP {error.code} from {url}")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        return Probe(False, f"no answer from {url}: {reason}")


def post(url: str, payload: Mapping[str, Any], timeout: float = 10) -> None:
    """POST JSON to a webhook. The URL is a secret: no message that comes from here holds more of it than the host.

    Args:
        url: https, or http on this machine.
        payload: What is posted.
        timeout: Seconds to wait for the connection, and again for the answer.

    Raises:
        ToolError: It is no such URL, nobody answers, or the answer is not 2xx.
    """
    parts = urlsplit(url.strip())
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and host in ("127.0.0.1", "::1", "localhost")):
        raise ToolError("the webhook is no https URL", next="put the right one into its parameter")
    body = json.dumps(payload, ensure_ascii=False).encode()
    request = urllib.request.Request(  # noqa: S310  # the scheme was looked at
        url.strip(), data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=timeout):
            return
    except urllib.error.HTTPError as error:
        raise ToolError(f"the webhook at {host} answered HTTP {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ToolError(f"the webhook at {host} does not answer ({type(error).__name__})") from None


def public_address() -> str:
    """The address under which this machine reaches the internet, as AWS sees it.

    Raises:
        ToolError: Nobody answers.
    """
    try:
        with urllib.request.urlopen("https://checkip.amazonaws.com", timeout=10) as answer:
            return str(ipaddress.ip_address(answer.read(64).decode().strip()))
    except (OSError, ValueError):
        raise ToolError(
            "this machine's public address cannot be found out (https://checkip.amazonaws.com does not answer)",
            next="set ssh_cidrs of the target in golden.toml",
        ) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None
