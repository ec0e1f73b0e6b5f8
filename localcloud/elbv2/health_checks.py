"""One health check of one target, as a load balancer makes it."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from typing import Any

from localcloud.elbv2 import targets


@dataclass(frozen=True)
class Probe:
    """What is asked of whom, copied out of the API's state so that it can be made without its lock."""

    host: str
    port: int
    protocol: str
    path: str
    codes: str
    timeout: float


def build_probe(group: Any, target: dict[str, Any]) -> Probe | None:
    """The check that a target group asks of a target; None while there is nothing to ask."""
    found = targets.target_address(group, target)
    if found is None:
        return None
    asked = group.health_check_port
    return Probe(
        host=found[0],
        port=found[1] if asked in (None, "traffic-port") else int(asked),
        protocol=group.health_check_protocol or "HTTP",
        path=group.health_check_path or "/",
        codes=(getattr(group, "matcher", None) or {}).get("HttpCode") or "200",
        timeout=float(group.health_check_timeout_seconds),
    )


def run_probe(probe: Probe) -> tuple[str, str]:
    """('', '') when the target is well, else (reason, description)."""
    try:
        if not probe.protocol.startswith("HTTP"):
            socket.create_connection((probe.host, probe.port), timeout=probe.timeout).close()
            return "", ""
        connection = http.client.HTTPConnection(probe.host, probe.port, timeout=probe.timeout)
        try:
            connection.request(
                "GET", probe.path, headers={"User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"}
            )
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
    """A matcher such as `200,202` or `200-299`."""
    for part in codes.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and int(first) <= status <= int(last or first):
            return True
    return False
