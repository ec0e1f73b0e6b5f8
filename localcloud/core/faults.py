"""Faults that a test asks for: throttling, server errors, lost replies, delays, late images."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

KINDS = {
    "throttle": "refused before anything happens, with the service's throttling error",
    "error500": "refused before anything happens, with an internal error",
    "lost_reply": "carried out, then the connection is closed without an answer",
    "cut_upload": "the connection breaks after half of an upload to S3 (`action` PUT or POST)",
    "cut_download": "the connection breaks after half of an object of S3 was sent (`action` GET)",
    "delay": "answered `seconds` later",
    "late_ami": "CreateImage's AMI stays pending for `seconds` after its disk is there",
    "failed_ami": "CreateImage's AMI becomes failed",
    "failed_launch": "the instance goes from pending to terminated",
    "stuck_attach": "an attached volume stays `attaching` for `seconds` (0: until it is detached)",
    "slow_database": "CreateDBInstance's database stays `creating` for `seconds` more",
    "sick_target": "a newly registered target fails its health checks for `seconds` (0: for ever)",
}


@dataclass
class Fault:
    """One order: which action (`*` for any), what happens, how often, how long."""

    kind: str
    action: str = "*"
    times: int = 1
    seconds: float = 0.0


class Faults:
    """The faults that are still to happen; empty unless a test put some there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, asked: dict[str, Any]) -> Fault:
        """Order a fault. Raises ValueError with what was expected."""
        if asked.get("kind") not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {asked.get('kind')!r}")
        if unknown := set(asked) - {"kind", "action", "times", "seconds"}:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r}: expected kind, action, times, seconds")
        fault = Fault(
            kind=str(asked["kind"]),
            action=str(asked.get("action", "*")),
            times=int(asked.get("times", 1)),
            seconds=float(asked.get("seconds", 0)),
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def consume(self, action: str, *kinds: str) -> Fault | None:
        """The first fault of these kinds that fits the action; it counts as used once."""
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
