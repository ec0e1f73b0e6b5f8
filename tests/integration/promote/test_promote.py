"""Whole promotions against the local cloud in this process: what a kill after any call leaves, and what comes of it.

The machines are web servers in memory, and everything hurries; the same on real machines is in tests/e2e.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldenami.aws import load_balancers
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import GateError
from goldenami.fleet import create
from goldenami.images.model import ImageSelector
from goldenami.infra import describe
from goldenami.promote import model as promote_model, promote, rollback
from goldenami.promote.rollback_plan import drift
from goldenami.recipe.recipe import Recipe
from goldenami.rollout import monitor, plan as rollout_plan
from goldenami.state import lock
from goldenami.tools import host
from goldenami.tools.clock import SystemClock
from goldenami.tools.progress import Progress
from localcloud.elbv2.target_health import TargetHealthStore
from localcloud.storage import disks
from tests.support.cloud_fleet import FleetCloud, TrafficGenerator
from tests.support.cloud_server import KEYS, eventually
from tests.support.memory_machines import grow
from tests.support.recipes import RDS, recipe

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(
        not (shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")), reason="needs HAProxy"
    ),
]

SERVICES = ("autoscaling", "cloudwatch", "ec2", "elbv2", "iam", "service-quotas", "ssm", "sts")
LOOKS = ("Describe", "Get", "List", "SendCommand")  # a command looks into the service's journal
STEPS = (10, 50, 100)


class Killed(BaseException):
    """Nothing of the process goes on after this, whatever its `finally` would do."""


class Wire:
    """The calls of a connection that change something, and an end after one of them."""

    def __init__(self, aws: AwsSession) -> None:
        self.calls: list[str] = []
        self._end: tuple[str, int] | None = None
        self._dead = False
        for service in SERVICES:
            events = aws.client(service).meta.events  # type: ignore[call-overload]
            events.register("before-call", self._before)
            events.register("after-call", self._after)

    def end_after(self, name: str, number: int) -> None:
        """End everything with the reply to the call of this name that comes as number so and so."""
        self._end = (name, number)

    def _before(self, **_: Any) -> None:
        if self._dead:
            raise Killed

    def _after(self, model: Any, **_: Any) -> None:
        if model.name.startswith(LOOKS):
            return
        self.calls.append(model.name)
        if self._end is not None and (model.name, self.calls.count(model.name)) == self._end:
            self._dead = True
            raise Killed


class Yard:
    """A fleet in a town, and everything around its shop."""

    def __init__(self, town: Any, root: Path) -> None:
        self.town, self.root, self.number = town, root, 0
        self.good = self.image("v0")
        made = create.create(self.ctx(), self.good)
        town.address = made.address.removeprefix("http://")

    def recipe(self, traffic: tuple[int, ...] = ()) -> Recipe:
        """The repository's, hurried beyond what it may say."""
        found = recipe(RDS)
        # Without Run Command: a machine in memory runs what it is told on this one.
        quick = {"instance_warmup": 1, "health_check_grace_period": 4, "deregistration_delay": 1, "run_command": False}
        watched = {"watch_seconds": 1, "canary": 34, "traffic": traffic}
        return found.model_copy(
            update={"fleet": found.fleet.model_copy(update=quick), "promote": found.promote.model_copy(update=watched)}
        )

    def ctx(self, traffic: tuple[int, ...] = ()) -> Context:
        """A shop with a connection of its own, as another process would have."""
        found, clock = self.recipe(traffic), SystemClock()
        aws = AwsSession("ap-northeast-2", endpoint_url=self.town.server.endpoint, keys=KEYS)
        return Context(self.root, found, found.target("local"), aws, clock, Progress(clock, io.StringIO()))

    def image(self, serves: str) -> str:
        """A verified golden AMI of machines that serve this."""
        self.number += 1
        name = f"guestbook-golden-v1.{self.number}"
        ami: str = self.town.bake(serves, name)
        tags = {"Name": name, "Version": f"1.{self.number}.0", "goldenami:image": "guestbook"}
        tags |= {"goldenami:layer": "app", "goldenami:verified": "2026-01-01T00:00:00Z"}
        self.town.ec2.create_tags(Resources=[ami], Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        return ami

    def promote(self, ami: str, ctx: Context | None = None, **more: Any) -> promote_model.PromoteResult:
        return promote.promote(ctx or self.ctx(), promote_model.PromoteOptions(ImageSelector(ami), **more))

    def at_rest(self, ami: str, size: int = 1) -> None:
        """All parts name this image, all instances run it and serve, and nothing stands beside them."""
        ctx = self.ctx()
        fleet_state = describe.describe_fleet(ctx)
        assert fleet_state.pointer is not None
        assert fleet_state.group is not None
        assert fleet_state.pointer.ami == ami
        assert [m.image for m in fleet_state.group.members if m.serving] == [ami] * size
        assert list(drift(fleet_state)) == []
        assert (fleet_state.canary, fleet_state.active_refresh) == (None, None)
        balancer = load_balancers.get(ctx.aws, ctx.names.load_balancer)
        assert balancer is not None
        assert list(load_balancers.get_weights(ctx.aws, balancer.arn).values()) == [1]
        assert lock.holder(ctx) is None

    def fleet_state(self) -> Any:
        return describe.describe_fleet(self.ctx())

    def running(self) -> str:
        """The image of all instances."""
        (ami,) = {member.image for member in self.fleet_state().group.members}
        return str(ami)

    def versions(self) -> list[str]:
        """The AMI of each version of the launch template."""
        found = self.fleet_state().template.versions
        return [found[number].image for number in sorted(found)]

    def refreshes(self) -> int:
        """How many instance refreshes there were; AWS tells of the last twenty."""
        pages = self.town.autoscaling.describe_instance_refreshes(AutoScalingGroupName="guestbook-asg", MaxRecords=100)
        return len(pages["InstanceRefreshes"])

    def resize(self, size: int) -> None:
        """Set the group's size, and wait until it serves with it."""
        self.town.autoscaling.set_desired_capacity(AutoScalingGroupName="guestbook-asg", DesiredCapacity=size)
        eventually(lambda: [m.serving for m in self.fleet_state().group.members] == [True] * size, 20)

    def forget_trial_targets(self) -> None:
        """As before the first promotion that shifted the traffic."""
        ctx = self.ctx()
        load_balancers.delete_target_group(ctx.aws, ctx.clock, ctx.names.canary_target_group)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """One for all tests: each leaves the fleet at rest."""
    due = TargetHealthStore.is_due

    def hurried(self: TargetHealthStore, group: Any, target_id: str, now: float) -> bool:
        """The API takes no interval of less than 5 s."""
        found, probed = due(self, group, target_id, now), self._probed[(group.arn, target_id)]
        probed.next_at = min(probed.next_at, now + 0.2)
        return found

    root = tmp_path_factory.mktemp("yard")
    (root / "checkout").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disks, "grow", grow)
        patch.setattr("localcloud.core.periodic.SECONDS", 0.05)
        patch.setenv("GOLDENAMI_REFRESH_TIMEOUT", "2")
        patch.setattr(TargetHealthStore, "is_due", hurried)
        patch.setattr(monitor, "POLL_INTERVAL", 0.2)
        patch.setattr(monitor, "TICK", 0.1)
        patch.setattr(rollout_plan, "min_healthy_time", lambda wanted: 30.0)  # its margin is meant for real times
        patch.setattr(host, "is_alive", lambda process: False)  # a killed one is this one
        town = FleetCloud(root)
        yield Yard(town, root / "checkout")
        town.server.stop()


def killed(yard: Yard, ami: str, traffic: tuple[int, ...], number: int, name: str) -> None:
    """A promotion that ends with the reply to a call, the first of this name or a later one of them."""
    ctx = yard.ctx(traffic)
    wire = Wire(ctx.aws)
    wire.end_after(name, number)
    with pytest.raises(Killed):
        yard.promote(ami, ctx)
    assert wire.calls[-1] == name


@pytest.mark.parametrize("traffic", [(), STEPS])
@pytest.mark.parametrize("size", [3, 1])
def test_a_good_image_costs_no_request(yard: Yard, size: int, traffic: tuple[int, ...]) -> None:
    yard.resize(size)
    image, versions, refreshes, ctx = yard.image("good"), yard.versions(), yard.refreshes(), yard.ctx(traffic)
    wire = Wire(ctx.aws)
    with TrafficGenerator(yard.town.address, rate=40) as visitors:
        result = yard.promote(image, ctx)
    assert visitors.failures == []
    assert len(visitors.served) > 20
    yard.at_rest(image, size)
    assert yard.versions() == [*versions, image]
    assert yard.refreshes() == refreshes + 1
    assert len(wire.calls) <= (22 if traffic else 8), wire.calls
    assert result.run is not None
    kinds = [event.kind for event in result.timeline.events]
    assert kinds.count("canary") == kinds.count("shifted") == kinds.count("terminated") == 1
    assert yard.promote(image).run is None, "promoted twice, it is there already"
    assert yard.versions() == [*versions, image]


BAD = {"sick": 0, "mute": 0, "fickle": 40}


@pytest.mark.parametrize("traffic", [(), STEPS])
@pytest.mark.parametrize("ill", BAD)
def test_a_bad_image_is_taken_back(yard: Yard, ill: str, traffic: tuple[int, ...]) -> None:
    yard.resize(1)
    bad, before = yard.image(f"bad {ill}"), yard.running()
    default = yard.fleet_state().template.default
    with (
        TrafficGenerator(yard.town.address) as visitors,
        pytest.raises(GateError, match="failed the health gate") as caught,
    ):
        yard.promote(bad, yard.ctx(traffic), watch=4)
    assert "back on version" in str(caught.value.state)
    assert len(visitors.failures) <= BAD[ill], visitors.failures
    yard.at_rest(before)
    assert yard.fleet_state().template.default == default


PLAIN = (
    *(("PutParameter", 1), ("CreateLaunchTemplateVersion", 1), ("StartInstanceRefresh", 1)),
    *(("ModifyLaunchTemplate", 1), ("PutParameter", 2), ("LabelParameterVersion", 1), ("CreateTags", 1)),
    ("DeleteParameter", 1),
)
WEIGHED = (
    *(("CreateTargetGroup", 1), ("ModifyTargetGroupAttributes", 1), ("ModifyListener", 1), ("ModifyListener", 2)),
    *(("CreateAutoScalingGroup", 1), ("ModifyListener", 3), ("StartInstanceRefresh", 1), ("ModifyListener", 4)),
    *(("UpdateAutoScalingGroup", 1), ("ModifyListener", 5), ("DeleteAutoScalingGroup", 1)),
)
ALWAYS = {
    *(((), "StartInstanceRefresh", 1), ((), "PutParameter", 2), ((), "DeleteParameter", 1)),
    *(
        ((50, 100), "CreateAutoScalingGroup", 1),
        ((50, 100), "ModifyListener", 3),
        ((50, 100), "UpdateAutoScalingGroup", 1),
    ),
}
EVERY: list[tuple[tuple[int, ...], str, int]] = [
    *(((), *call) for call in PLAIN),
    *(((50, 100), *call) for call in WEIGHED),
]
KILLS = [pytest.param(*kill, marks=() if kill in ALWAYS else pytest.mark.long) for kill in EVERY]


@pytest.mark.parametrize(("traffic", "name", "number"), KILLS)
def test_killed_after_any_call_the_next_promotion_finishes_it(
    yard: Yard, traffic: tuple[int, ...], name: str, number: int
) -> None:
    yard.resize(1)
    if name == "CreateTargetGroup":
        yard.forget_trial_targets()
    image, versions, refreshes = yard.image("good"), yard.versions(), yard.refreshes()
    with TrafficGenerator(yard.town.address) as visitors:
        killed(yard, image, traffic, number, name)
        yard.promote(image, yard.ctx(traffic))
    assert visitors.failures == []
    yard.at_rest(image)
    assert yard.versions() == [*versions, image], "one version"
    assert yard.refreshes() == refreshes + 1, "one refresh"


BACK = [((), "StartInstanceRefresh", 1), ((), "ModifyLaunchTemplate", 1)]
BACK += [((50, 100), *call) for call in (("CreateAutoScalingGroup", 1), ("ModifyListener", 3))]
BACK += [((50, 100), *call) for call in (("StartInstanceRefresh", 1), ("ModifyListener", 4))]


@pytest.mark.parametrize(("traffic", "name", "number"), BACK)
def test_killed_after_a_call_a_rollback_takes_it_back(
    yard: Yard, traffic: tuple[int, ...], name: str, number: int
) -> None:
    yard.resize(1)
    image, before = yard.image("good"), yard.running()
    with TrafficGenerator(yard.town.address) as visitors:
        killed(yard, image, traffic, number, name)
        ctx, options = yard.ctx(), promote_model.RollbackOptions()
        result = rollback.rollback(ctx, rollback.preflight(ctx, options), options)
    assert visitors.failures == []
    assert result.image.id == before
    yard.at_rest(before)


def test_another_image_is_promoted_over_a_trial_that_was_left(yard: Yard) -> None:
    yard.resize(1)
    left, image = yard.image("good"), yard.image("better")
    with TrafficGenerator(yard.town.address) as visitors:
        killed(yard, left, (50, 100), 2, "ModifyListener")
        fleet_state = yard.fleet_state()
        assert fleet_state.canary is not None
        assert any("receives 50 % of the requests" in told for told in drift(fleet_state))
        yard.promote(image, yard.ctx((50, 100)))
    assert visitors.failures == []
    yard.at_rest(image)
