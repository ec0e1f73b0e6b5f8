"""A pause: writes are stopped on purpose where no handover is under way, written down so that whoever finds it can end it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Pause:
    """What Parameter Store holds while one lasts.

    Attributes:
        run: The run that made it.
        what: What it is for: `db.restore 20260102-030405-0abcde`.
        instances: Whose writes are stopped, or about to be; the first one does the work.
        suspended: The group's processes that were suspended for it.
        backup: The backup that is to take the place of what the database holds; empty where rows stay as they are.
        arriving: Whether it is being put in its place: from here on there is only the way on.
    """

    run: str
    what: str
    instances: tuple[str, ...]
    suspended: tuple[str, ...] = ()
    backup: str = ""
    arriving: bool = False

    def text(self) -> str:
        """As the parameter holds it."""
        return json.dumps(asdict(self))


def parse(text: str) -> Pause | None:
    """A pause from its parameter; None when that holds anything else."""
    try:
        found = json.loads(text)
        return Pause(**{**found, "instances": tuple(found["instances"]), "suspended": tuple(found["suspended"])})
    except (ValueError, TypeError, KeyError):
        return None
