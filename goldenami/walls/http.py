"""The door to HTTP: probe a health path the way a load balancer does."""

from __future__ import annotations

import http.client
import ipaddress
import urllib.error
import urllib.request
from dataclasses import dataclass

from goldenami.values.errors import ToolError


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
