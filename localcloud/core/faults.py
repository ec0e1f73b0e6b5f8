"""Faults that tests inject: throttling, server errors, lost replies, delays, late images."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

KINDS = {
    "throttle": "the request fails without effect, with the service's throttling error",
    "error500": "the request fails without effect, with an internal error",
    "lost_reply": "the request is carried out, then the connection is closed without a reply",
    "cut_upload": "the connection breaks after half of an upload to S3 (`action` PUT or POST)",
    "cut_download": "the connection breaks after half of an S3 object was sent (`action` GET)",
    "delay": "the reply is sent `seconds` later",
    "late_ami": "CreateImage's AMI stays pending for `seconds` after its disk was copied",
    "failed_ami": "CreateImage's AMI becomes failed",
    "failed_launch": "the instance goes from pending to terminated",
    "stuck_attach": "an attached volume stays `attaching` for `seconds` (0: until it is detached)",
    "slow_database": "CreateDBInstance's database stays `creating` for `seconds` more",
    "unhealthy_target": "a newly registered target fails its health checks for `seconds` (0: permanently)",
}


@dataclass
class Fault:
    """One fault: its kind, the action (`*` for any), how often it happens and how long it lasts."""

    kind: str
    action: str = "*"
    times: int = 1
    seconds: float = 0.0


class Faults:
    """The pending faults; none unless a test added some."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fields: dict[str, Any]) -> Fault:
        """Add a fault. Raises ValueError with the expected values."""
        if fields.get("kind") not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {fields.get('kind')!r}")
        if unknown := set(fields) - {"kind", "action", "times", "seconds"}:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r}: expected kind, action, times, seconds")
        kind, action = str(fields["kind"]), str(fields.get("action", "*"))
        fault = Fault(kind, action, int(fields.get("times", 1)), float(fields.get("seconds", 0)))
        with self._lock:
            self._faults.append(fault)
        return fault

    def consume(self, action: str, *kinds: str) -> Fault | None:
        """Return the first fault of these kinds for the action, and count it as used once; None if there is none."""
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and fault.action in ("*", action):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    return fault
        return None

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def as_dicts(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]
