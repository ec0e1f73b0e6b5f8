"""Record of a rebuild in Parameter Store, from which the next rebuild resumes, on any machine; check and result."""

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

# A standard parameter holds 4 KiB:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
MAX_SIZE = 4096


def lock_spec(names: ResourceNames) -> LockSpec:
    """Return the lock of the rebuild. A bake sends no heartbeat for many minutes, so it is stale only after three hours."""
    return LockSpec(names.rebuild_lock, subject="the rebuild", stale_after=timedelta(hours=3))


@dataclass(frozen=True)
class RebuildRecord:
    """Record of a rebuild.

    Attributes:
        run: Id of its first run.
        since: When it started (ISO 8601, UTC); layers created after that are its own.
        by: Who runs it, as `user@machine`.
        previous_ami: The AMI in production, else the candidate, when it started; empty if there was none.
        ami: The AMI that it baked; empty until then.
        backup: Result of restoring the newest backup to a temporary server; empty without a database.
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
    backup: str = ""
    ended: str = ""
    error: str = ""
    notified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        datetime.fromisoformat(self.since)  # a record without a valid date is none

    def advance(self, step: str, **facts: Any) -> RebuildRecord:
        """Return the record at another step."""
        return replace(self, step=step, **facts)

    def shortened(self) -> RebuildRecord:
        """Return the record with its texts cut until it fits into a parameter."""
        length = 500
        while True:
            record = replace(
                self,
                error=self.error[:length],
                backup=self.backup[:length],
                reasons=tuple(reason[:length] for reason in self.reasons),
                notified=tuple(place[:length] for place in self.notified),
            )
            if len(json.dumps(asdict(record), ensure_ascii=False).encode()) <= MAX_SIZE:
                return record
            length //= 2


@dataclass(frozen=True)
class RebuildCheck:
    """Result of the check whether a rebuild is due.

    Attributes:
        packages: What is known about pending package updates, and how.
        current: The image in production, else the candidate.
        unfinished: An interrupted rebuild, which the next one resumes.
    """

    inputs: RebuildInputs
    reasons: tuple[RebuildReason, ...]
    packages: str
    current: Image | None
    version: Version
    unfinished: RebuildRecord | None


@dataclass(frozen=True)
class RebuildResult:
    """Result of a rebuild that succeeded.

    Attributes:
        changes: Differences between the tags of the two images and their base layers.
        diff: Differences between their contents; None if there was no previous image.
        removed: What was deleted or deprecated.
        notify_failed: Destinations that could not be notified, with the reason.
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
        """True if there was no reason to rebuild."""
        return self.record.state == "unchanged"
