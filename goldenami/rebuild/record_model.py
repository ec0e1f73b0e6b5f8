"""How far a rebuild has come: written down in Parameter Store, so that the next one, anywhere, goes on with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from goldenami.state.lock_model import Subject

State = Literal["running", "finished", "unchanged", "failed"]

# A standard parameter holds 4 KiB.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
ROOM = 4096


@dataclass(frozen=True)
class Names:
    """The parameters of an image's rebuild."""

    image: str

    @property
    def record(self) -> str:
        """How the latest rebuild went; its history is the list of the rebuilds."""
        return f"/goldenami/{self.image}/rebuild"

    @property
    def claim(self) -> Subject:
        """Who is rebuilding now.

        A bake gives no sign of life for many minutes, so a holder on another machine is given three hours.
        """
        return Subject(
            f"/goldenami/{self.image}/rebuild-claim",
            called="the rebuild",
            doing="is rebuilding this image",
            patience=timedelta(hours=3),
        )


@dataclass(frozen=True)
class Record:
    """A rebuild.

    Attributes:
        run: Its id.
        since: When it began; layers made after that are its own (ISO 8601, UTC).
        by: Who runs it, as `user@machine`.
        step: What it was doing last.
        before: The AMI that was in production, or the candidate, when it began; empty for none.
        ami: The AMI that it baked; empty as long as there is none.
        promoted: Whether it carried the AMI to the fleet.
        told: The places that were told how it ended.
    """

    run: str
    since: str
    by: str
    state: State = "running"
    step: str = "begin"
    reasons: tuple[str, ...] = ()
    before: str = ""
    ami: str = ""
    version: str = ""
    promoted: bool = False
    ended: str = ""
    error: str = ""
    told: tuple[str, ...] = ()

    def at(self, step: str, **facts: Any) -> Record:
        """Further on."""
        return replace(self, step=step, **facts)

    def text(self) -> str:
        """As the parameter holds it; long texts are cut to its size."""
        cut = 500
        while len(told := json.dumps(self._cut(cut), ensure_ascii=False).encode()) > ROOM:
            cut //= 2
        return told.decode()

    def _cut(self, to: int) -> dict[str, Any]:
        facts = asdict(self)
        facts["error"] = facts["error"][:to]
        facts["reasons"] = [reason[:to] for reason in facts["reasons"]]
        facts["told"] = [place[:to] for place in facts["told"]]
        return facts


def parse(text: str) -> Record | None:
    """A record from its parameter; None when that holds anything else."""
    try:
        found = json.loads(text)
        known = {name: found[name] for name in Record.__dataclass_fields__ if name in found}
        for name in ("reasons", "told"):
            known[name] = tuple(known.get(name, ()))
        record = Record(**known)
        datetime.fromisoformat(record.since)
    except (ValueError, KeyError, TypeError):
        return None
    return record
