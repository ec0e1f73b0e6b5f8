"""How far a rebuild has come: written down in Parameter Store, so that the next one, anywhere, goes on with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from goldenami.images.diff_plan import Change, ImageDiff
from goldenami.model.image import Image
from goldenami.model.names import ResourceNames
from goldenami.model.version import Version
from goldenami.rebuild.plan import RebuildInputs, RebuildReason
from goldenami.state.lock_model import LockSpec
from goldenami.state.run_model import RunFolder

RebuildState = Literal["running", "finished", "unchanged", "failed"]

# A standard parameter holds 4 KiB.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
MAX_SIZE = 4096


def lock_spec(names: ResourceNames) -> LockSpec:
    """Return the lock of the rebuild.

    A bake sends no heartbeat for many minutes, so the lock of another machine counts as stale only after three hours.
    """
    return LockSpec(
        names.rebuild_lock,
        subject="the rebuild",
        stale_after=timedelta(hours=3),
    )


@dataclass(frozen=True)
class RebuildRecord:
    """A rebuild.

    Attributes:
        run: Its id.
        since: When it began; layers made after that are its own (ISO 8601, UTC).
        by: Who runs it, as `user@machine`.
        step: What it was doing last.
        before: The AMI that was in production, or the candidate, when it began; empty for none.
        ami: The AMI that it baked; empty as long as there is none.
        promoted: Whether it carried the AMI to the fleet.
        notified: The places that were told how it ended.
    """

    run: str
    since: str
    by: str
    state: RebuildState = "running"
    step: str = "begin"
    reasons: tuple[str, ...] = ()
    previous_ami: str = ""
    ami: str = ""
    version: str = ""
    promoted: bool = False
    ended: str = ""
    error: str = ""
    notified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.since)  # a record without a valid date is none

    def advance(self, step: str, **facts: Any) -> RebuildRecord:
        """Further on."""
        return replace(self, step=step, **facts)

    def shortened(self) -> RebuildRecord:
        """Return the record with its texts cut until it fits into a parameter."""
        length = 500
        while True:
            record = replace(
                self,
                error=self.error[:length],
                reasons=tuple(reason[:length] for reason in self.reasons),
                notified=tuple(place[:length] for place in self.notified),
            )
            if len(json.dumps(asdict(record), ensure_ascii=False).encode()) <= MAX_SIZE:
                return record
            length //= 2


@dataclass(frozen=True)
class RebuildCheck:
    """What was read and decided; nothing was changed.

    Attributes:
        packages: What is known about waiting package updates, and how.
        before: What is in production, or the candidate where nothing is.
        version: What a bake of now would be called.
        unfinished: A rebuild that ended before it was done, which the next one goes on with.
    """

    inputs: RebuildInputs
    reasons: tuple[RebuildReason, ...]
    packages: str
    current: Image | None
    version: Version
    unfinished: RebuildRecord | None


@dataclass(frozen=True)
class RebuildResult:
    """How a rebuild ended well.

    Attributes:
        changes: What the tags of the two images and their bases say differently.
        inside: What is in them differently; None where there was no image before.
        removed: What was tidied up.
        notify_failed: The places that could not be told, with the reason.
    """

    record: RebuildRecord
    check: RebuildCheck
    image: Image | None
    run: RunFolder
    changes: tuple[Change, ...] = ()
    diff: ImageDiff | None = None
    removed: tuple[str, ...] = ()
    notify_failed: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether there was no reason for it."""
        return self.record.state == "unchanged"
