"""What belongs to an Auto Scaling group: its instance refreshes, lifecycle hooks and scheduled actions."""

from __future__ import annotations

from dataclasses import dataclass

# States of an unfinished instance refresh.
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstanceRefresh.html
REFRESH_RUNNING = frozenset({"Pending", "InProgress", "Baking"})
REFRESH_ENDING = frozenset({"Cancelling", "RollbackInProgress"})


@dataclass(frozen=True)
class InstanceRefresh:
    """Instance refresh.

    Attributes:
        version: The launch template version that it rolls out; None without a desired configuration.
        percent: How much is complete.
    """

    id: str
    status: str
    version: int | None = None
    percent: int = 0
    to_update: int = 0
    reason: str = ""
    started: str = ""
    ended: str = ""

    @property
    def is_running(self) -> bool:
        """True if it is replacing instances and can be rolled back."""
        return self.status in REFRESH_RUNNING

    @property
    def is_ending(self) -> bool:
        """True if it is rolling back or being cancelled."""
        return self.status in REFRESH_ENDING


@dataclass(frozen=True)
class RefreshPreferences:
    """Preferences of an instance refresh, named as in its API.

    Attributes:
        protected: ScaleInProtectedInstances. `Ignore` keeps them as they are, `Refresh` replaces them.
    """

    min_healthy: int
    max_healthy: int
    warmup: int
    checkpoints: tuple[int, ...] = ()
    delay: int = 0
    bake_time: int = 0
    auto_rollback: bool = True
    protected: str = "Ignore"
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class LifecycleHook:
    """Lifecycle hook of a group: it holds each instance that is launched (or else terminated) in `Pending:Wait`.

    Attributes:
        timeout: Seconds until the default result, unless something completes the action.
        result: The default result: `CONTINUE` or `ABANDON`, which terminates the instance.
    """

    name: str
    launching: bool
    timeout: int
    result: str


@dataclass(frozen=True)
class ScheduledAction:
    """Scheduled action of a group: the sizes that it sets; None for those that it leaves."""

    name: str
    min: int | None = None
    max: int | None = None
    desired: int | None = None
