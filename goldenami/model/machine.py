"""One machine of the fleet, as the tasks that look at single ones see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """An instance of the fleet: a member of the group, or one that `deploy` launched."""

    id: str
    image: str
    state: str
    address: str
    zone: str = ""
    version: int = 0
    grouped: bool = False
    lifecycle: str = ""
    target: str = ""
    launched: str = ""
    drifted: str = ""
