"""Watch the new instances of a promotion: the group's view, the balancer's, our own probes, the service's journal."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from goldenami.aws import auto_scaling, instances, run_command
from goldenami.context import Context
from goldenami.model.fleet import AutoScalingGroup, GroupInstance
from goldenami.rollout.health_model import HealthSample, InstanceHealth, add_sample, failure_reason
from goldenami.rollout.timeline_model import Event, Timeline
from goldenami.state.runs import Run, write_text
from goldenami.tools import http

TICK = 1.0  # seconds between two of our own probes
POLL_INTERVAL = 3.0  # seconds between two looks at AWS
_FIRST_POLLS = (
    60.0  # seconds from the start in which AWS is looked at with each tick, until the first new instance is well
)
_EAGER_INTERVAL = 0.25  # seconds between two probes of the first new instance in that time; they cost AWS nothing
_PROBE_TIMEOUT = 0.5  # seconds between two looks at AWS once it answers: the balancer and the group will say so soon
_JOURNAL_EVERY = 30.0  # seconds between two looks into a service's journal
_ACTIVITIES_EVERY = 10.0
_REFUSED_LAUNCHES = 2  # one failed launch may be a passing fault of AWS


@dataclass
class RolloutMonitor:
    """What is known of the instances that run the new version.

    Attributes:
        version: The template version that is being carried.
        records: What was seen of each new instance.
        old: The instances that ran something else when the promotion began.
        beside: A second group whose instances of that version are watched as well.
    """

    ctx: Context
    run: Run
    version: int
    timeline: Timeline
    began: str = ""
    instances: dict[str, InstanceHealth] = field(default_factory=dict)
    members: dict[str, GroupInstance] = field(default_factory=dict)
    old: tuple[str, ...] = ()
    managed: bool | None = None
    beside: str = ""
    _group: str = ""
    _answers: bool = False
    _journal: dict[str, float] = field(default_factory=dict)
    _activities: float = 0.0

    def poll(self, group: AutoScalingGroup) -> None:
        """Take the group's view over, and look into the journals when it is time."""
        now = self.ctx.clock.monotonic()
        self._group = group.name
        other = auto_scaling.get(self.ctx.aws, self.beside) if self.beside else None
        members = [*group.members, *(other.members if other else ())]
        new = {m.id: m for m in members if m.version == self.version}
        for identity, member in new.items():
            if identity not in self.instances:
                self.instances[identity] = InstanceHealth(identity, now)
                self._record("launched", f"{identity} launched in {member.zone}", identity)
            self.members[identity] = member
        for identity, record in list(self.instances.items()):
            found = new.get(identity)
            if found is None:
                self._add_sample(record, HealthSample("", healthy=record.last.healthy, target=record.last.target))
                continue
            look = HealthSample(found.lifecycle, found.healthy, found.target, *self._probed(found))
            if look.lifecycle == "InService" and record.is_healthy is not None:
                look = self._with_journal(found, look, now)
            self._add_sample(record, look)

    def probe(self) -> None:
        """Probe every new instance once more; asks AWS nothing."""
        if not self.healthy_count:
            self._answers = self._first_answers()
        for identity, record in list(self.instances.items()):
            member = self.members[identity]
            if record.ended or record.is_healthy is None:
                continue
            ok, seen = self._probed(member)
            last = record.last
            self._add_sample(record, HealthSample(last.lifecycle, last.healthy, last.target, ok, seen))

    def failure_reason(self, grace: float, hold: float) -> str:
        """Why to turn back; empty when there is no reason."""
        now = self.ctx.clock.monotonic()
        for record in self.instances.values():
            if reason := failure_reason(record, now, grace, hold, self.ctx.recipe.promote.errors):
                return reason
        return self._refused_launches(now)

    def should_poll(self, since: float, passed: float) -> bool:
        """Whether it is time to look at AWS again, so many seconds after the last look and the beginning."""
        if not self._eager(passed):
            return since >= POLL_INTERVAL
        return since >= (min(_PROBE_TIMEOUT, TICK) if self._answers else TICK)

    def poll_interval(self, passed: float) -> float:
        """Seconds until the next probe or look."""
        return min(_EAGER_INTERVAL, TICK) if self._eager(passed) else TICK

    @property
    def healthy_count(self) -> int:
        """How many new instances are well now."""
        return sum(
            r.is_healthy is not None and not r.ended and not r.consecutive_failures for r in self.instances.values()
        )

    @property
    def failed_instances(self) -> list[str]:
        """The instances that gave reason to turn back, or all new ones."""
        now, errors = self.ctx.clock.monotonic(), self.ctx.recipe.promote.errors
        ill = [r.id for r in self.instances.values() if failure_reason(r, now, math.inf, errors=errors)]
        return ill or list(self.instances)

    def keep_evidence(self) -> list[str]:
        """Keep the console and the service's log of the instances that failed; returns the files."""
        kept = []
        for identity in self.failed_instances[:5]:
            folder = self.run.folder / "instances" / identity
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "console.log", instances.console_output(self.ctx.aws, identity))
            kept.append(str(folder / "console.log"))
            script = f"journalctl --unit {self.ctx.name} --no-pager --lines 200"
            said = run_command.run(self.ctx.aws, self.ctx.clock, identity, script, timeout=10)
            if said is not None and said.stdout:
                write_text(folder / "service.log", said.stdout)
                kept.append(str(folder / "service.log"))
        return kept

    def _eager(self, passed: float) -> bool:
        return passed < _FIRST_POLLS and not self.healthy_count

    def _first_answers(self) -> bool:
        """Whether the first of the new instances that are not known to be well answers by now."""
        app = self.ctx.recipe.app
        on_the_way = (self.members[r.id] for r in self.instances.values() if r.is_healthy is None and not r.ended)
        address = next((m.address for m in on_the_way if m.address), "")
        return bool(address) and http.probe(f"http://{address}:{app.port}{app.health}", timeout=1).ok

    def _probed(self, member: GroupInstance) -> tuple[bool | None, str]:
        if member.lifecycle != "InService" or not member.address:
            return None, ""
        app = self.ctx.recipe.app
        seen = http.probe(f"http://{member.address}:{app.port}{app.health}", timeout=3)
        return seen.ok, seen.detail

    def _add_sample(self, record: InstanceHealth, look: HealthSample) -> None:
        after = add_sample(record, look, self.ctx.clock.monotonic())
        self.instances[record.id] = after
        if record.is_healthy is None and after.is_healthy is not None:
            self._record("healthy", f"{record.id} healthy after {after.is_healthy - record.since:.0f} s", record.id)
        if after.ended and not record.ended:
            self._record("gone", f"{record.id} left the group", record.id)

    def _with_journal(self, member: GroupInstance, look: HealthSample, now: float) -> HealthSample:
        """Ask the instance itself how its service is; not where Run Command cannot reach it."""
        if self.managed is False or now - self._journal.get(member.id, -_JOURNAL_EVERY) < _JOURNAL_EVERY:
            return look
        self._journal[member.id] = now
        unit = self.ctx.name
        script = (
            f"systemctl show {unit} --property NRestarts --value\n"
            f"journalctl --unit {unit} --boot --priority err --output cat --no-pager --lines 1000 | wc -l"
        )
        said = run_command.run(self.ctx.aws, self.ctx.clock, member.id, script, timeout=10)
        self.managed = said is not None and said.code == 0
        numbers = re.findall(r"^\d+$", said.stdout, re.MULTILINE) if said else []
        if len(numbers) != 2:
            return look
        return HealthSample(
            look.lifecycle, look.healthy, look.target, look.probe, look.detail, int(numbers[0]), int(numbers[1])
        )

    def _refused_launches(self, now: float) -> str:
        """Whether the group cannot launch the new version at all."""
        if self.instances or now - self._activities < _ACTIVITIES_EVERY:
            return ""
        self._activities = now
        failed = [
            a
            for a in auto_scaling.list_activities(self.ctx.aws, self._group)
            if a.status == "Failed" and a.started >= self.began and "aunch" in a.description
        ]
        if len(failed) < _REFUSED_LAUNCHES:
            return ""
        return f"the group cannot launch it: {failed[0].message or failed[0].description}"

    def _record(self, kind: str, text: str, subject: str = "") -> None:
        self.timeline.add(Event(self.ctx.clock.now().isoformat(timespec="seconds"), kind, text, subject))
        self.ctx.progress.info(text)
