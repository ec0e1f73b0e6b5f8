"""Groups that somebody has changed: what a promotion refuses, what it does, and that the group never lacks its rows.

Machines are in memory; the local cloud keeps to what AWS documents of these states.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from goldenami.aws import auto_scaling, parameters
from goldenami.context import Context
from goldenami.database import transfer
from goldenami.errors import GateError, GoldenError
from goldenami.model.fleet import SUSPENDED_WHILE_REPLACING, AutoScalingGroup
from goldenami.recipe.recipe import Recipe
from tests.integration.database.test_transfer import Clerk, Pier, Wharf
from tests.integration.database.test_volume import killed, shared_fleet
from tests.integration.promote.test_promote import pytestmark as promotions, yard  # noqa: F401 - a fixture
from tests.support.cloud_server import eventually

pytestmark = promotions
GROUP = "guestbook-asg"
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"


class Patient(Pier):
    """Gives a new instance time enough on a loaded machine."""

    def recipe(self, _traffic: tuple[int, ...] = ()) -> Recipe:
        found = super().recipe()
        return found.model_copy(update={"fleet": found.fleet.model_copy(update={"health_check_grace_period": 20})})


@pytest.fixture(scope="module")
def pier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pier]:
    with shared_fleet(tmp_path_factory.mktemp("pier"), Wharf, Patient) as fleet:
        yield fleet


@functools.cache
def shared(pier: Any) -> Context:
    """One context for all that only looks, since the clients of a new one take longer than a call."""
    ctx: Context = pier.ctx()
    return ctx


def group(pier: Any) -> AutoScalingGroup:
    found = auto_scaling.get(shared(pier).aws, GROUP)
    assert found is not None
    return found


def machine(pier: Pier) -> Any:
    (member,) = group(pier).members
    return pier.driver.launched(member.id)[-1]


def api(pier: Any) -> Any:
    return pier.town.autoscaling


def update(pier: Any, low: int, high: int, desired: int) -> None:
    """Set the sizes, as Terraform does that knows of nothing else."""
    api(pier).update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=low, MaxSize=high, DesiredCapacity=desired)


@contextlib.contextmanager
def while_watched(pier: Pier, what: Any, *, protected: bool = True) -> Iterator[None]:
    """Do something once a second instance is in service, and protected."""
    ended = threading.Event()

    def wait() -> None:
        while not ended.wait(0.02):
            members = api(pier).describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
            states = [m["LifecycleState"] for m in members["Instances"]]
            safe = all(m["ProtectedFromScaleIn"] for m in members["Instances"]) or not protected
            if safe and states == ["InService"] * 2:
                return what()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_size_reset_while_watched_costs_neither_rows_nor_the_old_instance(pier: Pier) -> None:
    image, left = pier.image("good"), list[int]()

    def reset() -> None:
        api(pier).resume_processes(AutoScalingGroupName=GROUP)  # Terraform puts these back, too
        update(pier, 1, 1, 1)
        time.sleep(0.5)
        left.append(len(group(pier).members))

    with Clerk(pier) as clerk, while_watched(pier, reset):
        result = pier.promote(image, watch=2)
    api(pier).suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=list(SUSPENDED_WHILE_REPLACING))
    pier.serves(image)
    clerk.check()
    assert left == [2]
    watched = result.timeline.first("watched")
    assert watched is not None
    assert watched.text.endswith("beside the old instance")
    assert [m.protected for m in group(pier).members] == [False]


def test_group_that_terminates_the_new_instance_before_it_is_protected_costs_no_row(pier: Pier) -> None:
    before, old, image = pier.running(), pier.machine().id, pier.image("good")

    def reset() -> None:
        api(pier).resume_processes(AutoScalingGroupName=GROUP)
        update(pier, 1, 1, 1)

    with Clerk(pier) as clerk, while_watched(pier, reset, protected=False):
        reached = True
        try:
            pier.promote(image, watch=2)
        except GateError:
            reached = False
    api(pier).suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=list(SUSPENDED_WHILE_REPLACING))
    assert transfer.load(pier.ctx()) is None
    pier.serves(image if reached else before)
    assert (pier.machine().id != old) is reached
    clerk.check()


def test_protection_is_afterwards_as_it_was(pier: Pier) -> None:
    api(pier).set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=[pier.machine().id], ProtectedFromScaleIn=True
    )
    image = pier.image("good")
    pier.promote(image)
    pier.serves(image)
    assert [m.protected for m in group(pier).members] == [True]
    bad = pier.image("bad refuses")
    with pytest.raises(GateError):
        pier.promote(bad)
    pier.serves(image)
    assert [m.protected for m in group(pier).members] == [True]
    api(pier).set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=[pier.machine().id], ProtectedFromScaleIn=False
    )


def test_target_that_stopped_serving_after_a_crash_gives_the_data_back(pier: Pier) -> None:
    before, old, image = pier.running(), pier.machine().id, pier.image("good")
    with Clerk(pier) as clerk:
        killed(pier, image, "AttachInstances")
        switchover = transfer.load(pier.ctx())
        assert switchover is not None
        eventually(lambda: any(m.id == switchover.target and m.serving for m in group(pier).members), 20)
        target: Any = pier.driver.launched(switchover.target)[-1]
        target.sick = True
        eventually(lambda: any(m.target == "unhealthy" for m in group(pier).members), 20)
        with contextlib.suppress(GoldenError):
            pier.promote(before)
    assert transfer.load(pier.ctx()) is None
    assert pier.machine().id == old
    clerk.check()
    pier.serves(before)


@dataclass(frozen=True)
class Touched:
    """What somebody has done to the group, and does to it while the new instance is watched."""

    minimum: int = 1
    standby: bool = False
    protected: bool = False
    suspended: tuple[str, ...] = ()
    hook: str = ""
    reset: tuple[int, int, int] | None = None

    def apply(self, pier: Pier) -> None:
        asked = {"AutoScalingGroupName": GROUP}
        members = {**asked, "InstanceIds": [machine(pier).id]}
        update(pier, 0 if self.standby else self.minimum, 1, 1)
        api(pier).set_instance_protection(**members, ProtectedFromScaleIn=self.protected)
        if self.suspended:
            api(pier).suspend_processes(**asked, ScalingProcesses=list(self.suspended))
        if self.hook:
            api(pier).put_lifecycle_hook(**asked, LifecycleHookName="wait", LifecycleTransition=self.hook)
        if self.standby:
            api(pier).enter_standby(**members, ShouldDecrementDesiredCapacity=True)
            eventually(lambda: [m.lifecycle for m in group(pier).members] == ["Standby"], 20)

    def undo(self, pier: Pier) -> None:
        asked = {"AutoScalingGroupName": GROUP}
        api(pier).delete_lifecycle_hook(**asked, LifecycleHookName="wait")
        api(pier).resume_processes(**asked, ScalingProcesses=["AddToLoadBalancer", "Launch", "Terminate"])
        members = {**asked, "InstanceIds": [machine(pier).id]}
        if [m.lifecycle for m in group(pier).members] == ["Standby"]:
            api(pier).exit_standby(**members)
        eventually(lambda: [m.serving for m in group(pier).members] == [True], 20)
        api(pier).set_instance_protection(**members, ProtectedFromScaleIn=False)
        update(pier, 1, 1, 1)


TOUCHED = st.builds(
    Touched,
    minimum=st.sampled_from([0, 1]),
    standby=st.sampled_from([False, False, True]),
    protected=st.booleans(),
    suspended=st.sets(st.sampled_from(["AddToLoadBalancer", "Launch", "Terminate"]), max_size=2).map(tuple),
    hook=st.sampled_from(["", "", TERMINATING, LAUNCHING]),
    reset=st.sampled_from([None, (1, 1, 1), (0, 1, 1), (0, 1, 0)]),
)


def settings_of(pier: Pier) -> Any:
    """Everything about the group that a refused command must leave, and the released image."""
    found, pointer = group(pier), parameters.get(shared(pier).aws, shared(pier).names.production)
    members = [(m.id, m.lifecycle, m.protected) for m in found.members]
    return found.min, found.max, found.desired, sorted(found.suspended), members, found.version, pointer


@pytest.mark.parametrize("examples", [4, pytest.param(40, marks=pytest.mark.long)])
def test_group_in_any_state_never_lacks_its_rows(pier: Pier, examples: int) -> None:
    images, rows = [pier.image("good"), pier.image("better")], list[int]()

    @settings(max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(TOUCHED)
    def check(touched: Touched) -> None:
        rows.append(time.time_ns())
        machine(pier).rows.append(rows[-1])
        touched.apply(pier)
        before, image = settings_of(pier), images[group(pier).members[0].image == images[0]]

        def reset() -> None:
            with contextlib.suppress(ClientError):
                if touched.reset:
                    update(pier, *touched.reset)

        started = shared(pier).clock.monotonic()
        refusals = list[GateError]()
        with while_watched(pier, reset):
            try:
                pier.promote(image, shared(pier))
            except GateError as error:
                refusals.append(error)
        for refusal in refusals:
            assert refusal.state == "No changes were made.", refusal
            assert "aws autoscaling" in refusal.message, "the command that ends it"
            assert settings_of(pier) == before
        assert shared(pier).clock.monotonic() - started < 60
        assert transfer.load(shared(pier)) is None
        touched.undo(pier)
        assert set(rows) <= set(machine(pier).rows)
        assert pier.standing() == [machine(pier).id]

    check()


@pytest.mark.parametrize("how", ["Standby", "protected"])
def test_refresh_ends_with_the_instances_that_it_keeps(yard: Any, how: str) -> None:
    yard.resize(2)
    kept = group(yard).members[0].id
    asked = {"AutoScalingGroupName": GROUP, "InstanceIds": [kept]}
    if how == "Standby":
        api(yard).enter_standby(**asked, ShouldDecrementDesiredCapacity=True)
        eventually(lambda: any(m.lifecycle == "Standby" for m in group(yard).members), 20)
    else:
        api(yard).set_instance_protection(**asked, ProtectedFromScaleIn=True)
    image = yard.image("good")
    result = yard.promote(image)
    event = result.timeline.first("kept")
    assert event is not None
    assert kept in event.text
    assert result.timeline.first("terminated") is not None
    assert {m.id for m in group(yard).members if m.image != image} == {kept}
    assert "goldenami:rolled-back" not in {t["Key"] for t in yard.town.image(image).get("Tags", [])}
    assert yard.promote(image).run is None, "once more, there is nothing to do"
    if how == "Standby":
        api(yard).exit_standby(**asked)
    else:
        api(yard).set_instance_protection(**asked, ProtectedFromScaleIn=False)
    eventually(lambda: all(m.serving for m in group(yard).members), 20)
    yard.promote(image)
    yard.at_rest(image, 2)
    yard.resize(1)
