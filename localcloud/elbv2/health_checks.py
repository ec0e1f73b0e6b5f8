"""One health check of one target.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from typing import Any

from localcloud.elbv2 import targets


@dataclass(frozen=True)
class Probe:
    """Parameters of a health check, copied from the API's state so that it can run without the lock."""

    host: str
    port: int
    protocol: str
    path: str
    codes: str
    timeout: float


def build_probe(group: Any, target: dict[str, Any]) -> Probe | None:
    """Return a target's health check; None while its machine has no address."""
    if (address := targets.target_address(group, target)) is None:
        return None
    port = group.health_check_port
    return Probe(
        host=address[0],
        port=address[1] if port in (None, "traffic-port") else int(port),
        protocol=group.health_check_protocol or "HTTP",
        path=group.health_check_path or "/",
        codes=(getattr(group, "matcher", None) or {}).get("HttpCode") or "200",
        timeout=float(group.health_check_timeout_seconds),
    )


def run_probe(probe: Probe) -> tuple[str, str]:
    """Return the reason and the description of a failure, or two empty strings if the target is healthy."""
    try:
        if not probe.protocol.startswith("HTTP"):
            socket.create_connection((probe.host, probe.port), timeout=probe.timeout).close()
            return "", ""
        connection = http.client.HTTPConnection(probe.host, probe.port, timeout=probe.timeout)
        try:
            headers = {"User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"}
            connection.request("GET", probe.path, headers=headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except TimeoutError:
        return "Target.Timeout", "Request timed out"
    except (OSError, http.client.HTTPException):
        return "Target.FailedHealthChecks", "Health checks failed"
    if matches_codes(probe.codes, status):
        return "", ""
    return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]"


def matches_codes(codes: str, status: int) -> bool:
    """Return True if the status matches a matcher such as `200,202` or `200-299`."""
    ranges = (part.strip().partition("-") for part in codes.split(","))
    return any(first.isdigit() and int(first) <= status <= int(last or first) for first, _, last in ranges)
