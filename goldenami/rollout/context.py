"""Shared context of one rollout: run folder, lock and timeline."""

from __future__ import annotations

from dataclasses import dataclass, field

from goldenami.aws import auto_scaling
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.model.fleet import AutoScalingGroup
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run


@dataclass(frozen=True)
class RolloutContext:
    """What every step of a rollout works with."""

    ctx: Context
    run: Run
    held_lock: HeldLock
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def now(self) -> str:
        """Current time (ISO 8601, UTC)."""
        return self.ctx.clock.now().isoformat(timespec="seconds")

    def record(self, kind: str, text: str, subject: str = "") -> None:
        """Add an event to the timeline and print it."""
        self.timeline.add(Event(self.now, kind, text, subject))
        self.ctx.progress.info(text)


def get_group(ctx: Context, name: str) -> AutoScalingGroup:
    """Return the current state of an Auto Scaling group.

    Raises:
        AwsError: The group does not exist.
    """
    group = auto_scaling.get(ctx.aws, name)
    if group is None:
        raise AwsError(f"the Auto Scaling group {name} does not exist", next="./invoke fleet.create")
    return group
