"""Monitor the new instances of a rollout: state in the group and target group, HTTP probes, the service's journal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from goldenami.aws import auto_scaling, instances, run_command
from goldenami.infra.health import health_url, probe_instance
from goldenami.model.fleet import AutoScalingGroup, GroupInstance
from goldenami.rollout.context import RolloutContext
from goldenami.rollout.health_model import HealthSample, InstanceHealth, add_sample, failure_reason
from goldenami.state.runs import write_text
from goldenami.tools import http

TICK = 1.0  # seconds between two HTTP probes
POLL_INTERVAL = 3.0  # seconds between two polls of AWS
# Until the first new instance is healthy, but at most this long, AWS is polled and instances are probed more often.
_EAGER_PERIOD = 60.0
_EAGER_INTERVAL = 0.25  # seconds between two probes of the first new instance
_ANSWERING_INTERVAL = 0.5  # seconds between two polls once it answers: the group reports it soon
_JOURNAL_INTERVAL = 30.0  # seconds between two reads of a service's journal
_ACTIVITIES_INTERVAL = 10.0  # seconds between two reads of the scaling activities
_FAILED_LAUNCHES = 2  # a single failed launch may be temporary


@dataclass
class RolloutMonitor:
    """Health of the instances that run the new launch template version.

    Attributes:
        replaced: Id of an instance that is replaced, and not monitored although it may run the same version.
        canary_group: Name of a second group whose instances of that version are monitored as well.
        hook_timeout: Seconds that a lifecycle hook may hold a new instance before it is in service.
        health: Health of each new instance, by id.
    """

    rollout: RolloutContext
    version: int
    canary_group: str = ""
    hook_timeout: int = 0
    replaced: str = ""
    health: dict[str, InstanceHealth] = field(default_factory=dict)
    _members: dict[str, GroupInstance] = field(default_factory=dict)
    _group: str = ""
    _managed: bool = True
    _answers: bool = False
    _journal_read: dict[str, float] = field(default_factory=dict)
    _activities_read: float = 0.0

    def __post_init__(self) -> None:
        self.ctx, self._started = self.rollout.ctx, self.rollout.now

    def ticks(self, timeout: float) -> Iterator[tuple[float, bool]]:
        """Yield the elapsed seconds and whether AWS is to be polled now; probe the instances in between.

        The lock's heartbeat comes before each poll.

        Args:
            timeout: Seconds; stop after the first tick at or past it.
        """
        clock = self.ctx.clock
        started, polled = clock.monotonic(), -math.inf
        while True:
            now = clock.monotonic()
            elapsed = now - started
            interval = POLL_INTERVAL
            if self._is_eager(elapsed):
                interval = min(_ANSWERING_INTERVAL, TICK) if self._answers else TICK
            due = now - polled >= interval
            if due:
                polled = now
                self.rollout.held_lock.heartbeat()
            else:
                self._probe_all()
            yield elapsed, due
            if elapsed >= timeout:
                return
            clock.sleep(min(_EAGER_INTERVAL, TICK) if self._is_eager(elapsed) else TICK)

    def poll(self, group: AutoScalingGroup) -> None:
        """Add a sample of each new instance from the group's state, and read the journals when they are due."""
        now = self.ctx.clock.monotonic()
        self._group = group.name
        canary = auto_scaling.get(self.ctx.aws, self.canary_group) if self.canary_group else None
        members = [*group.members, *(canary.members if canary else ())]
        new = {m.id: m for m in members if m.version == self.version and m.id != self.replaced}
        for identity, member in new.items():
            if identity not in self.health:
                self.health[identity] = InstanceHealth(identity, now)
                self.rollout.record("launched", f"{identity} launched in {member.zone}", identity)
        self._members |= new
        for identity, health in list(self.health.items()):
            if identity not in new:
                self._add_sample(health, replace(health.last, lifecycle="", probe=None))
                continue
            member = new[identity]
            sample = self._probe(member, HealthSample(member.lifecycle, member.healthy, member.target))
            if sample.lifecycle == "InService" and health.healthy_since is not None:
                sample = self._read_journal(identity, sample, now)
            self._add_sample(health, sample)

    def failure_reason(self, grace: float, min_healthy_time: float = math.inf) -> str:
        """Return why the rollout has failed; empty if it has not."""
        now = self.ctx.clock.monotonic()
        for health in self.health.values():
            max_errors = self.ctx.recipe.promote.max_errors
            if reason := failure_reason(health, now, grace, min_healthy_time, max_errors, self.hook_timeout):
                return reason
        return self._failed_launches(now)

    @property
    def healthy_count(self) -> int:
        """Number of new instances that are healthy now."""
        return sum(
            h.healthy_since is not None and not h.is_terminated and not h.consecutive_failures
            for h in self.health.values()
        )

    @property
    def all_healthy(self) -> bool:
        """True if every new instance that has not left the group is healthy now."""
        return self.healthy_count == sum(not h.is_terminated for h in self.health.values())

    def save_evidence(self) -> list[str]:
        """Save the console output and the service's log of the failed instances, or of all new ones; return the paths."""
        now, max_errors = self.ctx.clock.monotonic(), self.ctx.recipe.promote.max_errors
        failed = [h.id for h in self.health.values() if failure_reason(h, now, math.inf, max_errors=max_errors)]
        paths = []
        for identity in (failed or list(self.health))[:5]:
            folder = self.rollout.run.folder / "instances" / identity
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "console.log", instances.console_output(self.ctx.aws, identity))
            paths.append(str(folder / "console.log"))
            script = f"journalctl --unit {self.ctx.name}-database --unit {self.ctx.name} --no-pager --lines 200"
            result = run_command.run(self.ctx.aws, self.ctx.clock, identity, script, timeout=10)
            if result is not None and result.stdout:
                write_text(folder / "service.log", result.stdout)
                paths.append(str(folder / "service.log"))
        return paths

    def _is_eager(self, elapsed: float) -> bool:
        return elapsed < _EAGER_PERIOD and not self.healthy_count

    def _probe_all(self) -> None:
        """Probe every healthy instance, or the first one that may become healthy; call no AWS API."""
        if not self.healthy_count:
            starting = [
                self._members[h.id] for h in self.health.values() if h.healthy_since is None and not h.is_terminated
            ]
            address = next((m.address for m in starting if m.address), "")
            self._answers = bool(address) and http.probe(health_url(self.ctx.recipe, address), timeout=1).ok
        for identity, health in list(self.health.items()):
            if not health.is_terminated and health.healthy_since is not None:
                self._add_sample(health, self._probe(self._members[identity], health.last))

    def _probe(self, member: GroupInstance, sample: HealthSample) -> HealthSample:
        if member.lifecycle != "InService" or not member.address:
            return replace(sample, probe=None)
        result = probe_instance(self.ctx.recipe, member.address, timeout=3)
        return replace(sample, probe=result.ok, detail=result.detail)

    def _add_sample(self, health: InstanceHealth, sample: HealthSample) -> None:
        updated = add_sample(health, sample, self.ctx.clock.monotonic())
        self.health[health.id] = updated
        if health.healthy_since is None and updated.healthy_since is not None:
            after = updated.healthy_since - health.first_seen
            self.rollout.record("healthy", f"{health.id} healthy after {after:.0f} s", health.id)
        if updated.is_terminated and not health.is_terminated:
            self.rollout.record("left", f"{health.id} left the group", health.id)

    def _read_journal(self, identity: str, sample: HealthSample, now: float) -> HealthSample:
        """Add the service's restarts and errors to a sample, where Run Command reaches the instance."""
        if not self._managed or now - self._journal_read.get(identity, -math.inf) < _JOURNAL_INTERVAL:
            return sample
        self._journal_read[identity] = now
        unit = self.ctx.name
        script = (
            f"systemctl show {unit} --property NRestarts --value\n"
            f"journalctl --unit {unit} --boot --priority err --output cat --no-pager --lines 1000 | wc -l"
        )
        result = run_command.run(self.ctx.aws, self.ctx.clock, identity, script, timeout=10)
        self._managed = result is not None and result.code == 0
        numbers = re.findall(r"^\d+$", result.stdout, re.MULTILINE) if result else []
        if len(numbers) != 2:
            return sample
        return replace(sample, restarts=int(numbers[0]), errors=int(numbers[1]))

    def _failed_launches(self, now: float) -> str:
        """Return why the group cannot launch the new version; empty if it can."""
        if self.health or now - self._activities_read < _ACTIVITIES_INTERVAL:
            return ""
        self._activities_read = now
        failed = [
            a
            for a in auto_scaling.list_activities(self.ctx.aws, self._group)
            if a.status == "Failed" and a.started >= self._started and "aunch" in a.description
        ]
        if len(failed) < _FAILED_LAUNCHES:
            return ""
        return f"{self._group} cannot launch version {self.version}: {failed[0].message or failed[0].description}"
