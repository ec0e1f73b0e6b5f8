"""What a promotion needs beside the fleet: instances, room in the account, money."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from goldenami.aws import quotas
from goldenami.model.fleet import CanaryGroup, InstanceRefresh
from goldenami.model.resources import VcpuQuota
from goldenami.promote.plan import plan_promotion
from goldenami.rollout.plan import refresh_preferences, surge_capacity
from tests.support.aws_stubs import scripted
from tests.support.fleet_states import NEW, OLD, fleet_state, group, request_for, template

STATES = {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]}
ASKED = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}


@given(desired=st.integers(1, 400), steps=st.sampled_from([(), (10, 50, 100)]), watch=st.integers(0, 3600))
def test_a_surge_is_what_aws_may_launch_and_a_trial_as_large_as_the_fleet(
    desired: int, steps: tuple[int, ...], watch: int
) -> None:
    roll = refresh_preferences(desired, request_for(canary=100, watch=0))
    needs = surge_capacity(desired, roll, steps, watch)
    assert needs.instances >= 1 + (desired if steps else 0)
    assert needs.instances <= desired * 2
    assert needs.instance_hours > 0
    dollars = needs.dollars("ap-northeast-2", "t3.micro")
    assert dollars == pytest.approx(needs.instance_hours * 0.013)
    assert needs.dollars("ap-northeast-2", "x9.huge") is None


def test_without_room_for_the_surge_it_is_refused() -> None:
    assert plan_promotion(request_for(), fleet_state(), VcpuQuota(quota=4, used=2, vcpus_per_instance=2)).blockers == ()
    (refusal,) = plan_promotion(request_for(), fleet_state(), VcpuQuota(quota=3, used=2, vcpus_per_instance=2)).blockers
    assert "no room for 1 more instance(s) with 2 vCPUs" in refusal
    weighed = fleet_state(group=group(target_groups=("arn:tg",)))
    assert plan_promotion(
        request_for(traffic=(10, 100)), weighed, VcpuQuota(quota=5, used=2, vcpus_per_instance=2)
    ).blockers
    assert (
        plan_promotion(
            request_for(traffic=(10, 100)), weighed, VcpuQuota(quota=6, used=2, vcpus_per_instance=2)
        ).blockers
        == ()
    )


def test_what_is_under_way_has_taken_its_room_already() -> None:
    full = VcpuQuota(quota=4, used=4, vcpus_per_instance=2)
    rolling = fleet_state(template=template(OLD, NEW), refreshes=(InstanceRefresh("r", "InProgress", 2),))
    assert plan_promotion(request_for(), rolling, full).blockers == ()
    assert plan_promotion(request_for(), fleet_state(canary=CanaryGroup(group(), 50)), full).blockers == ()


def test_a_quota_that_cannot_be_read_is_noted() -> None:
    decided = plan_promotion(request_for(), fleet_state(), VcpuQuota(quota=None, used=2, vcpus_per_instance=2))
    assert decided.blockers == ()
    assert any("cannot be read" in note for note in decided.warnings)


def test_the_room_is_the_quota_against_what_runs_on_demand() -> None:
    running = [
        {"InstanceType": "t3.micro"},
        {"InstanceType": "m7i.xlarge"},
        {"InstanceType": "t3.micro", "InstanceLifecycle": "spot"},
        {"InstanceType": "g5.xlarge"},
    ]
    sizes = [
        {"InstanceType": "t3.micro", "VCpuInfo": {"DefaultVCpus": 2}},
        {"InstanceType": "m7i.xlarge", "VCpuInfo": {"DefaultVCpus": 4}},
    ]
    with scripted() as wire:
        wire.answer("ec2", "describe_instances", STATES, {"Reservations": [{"Instances": running}]})
        asked = {"InstanceTypes": ["m7i.xlarge", "t3.micro"]}
        wire.answer("ec2", "describe_instance_types", asked, {"InstanceTypes": sizes})
        wire.answer("service-quotas", "get_service_quota", ASKED, {"Quota": {"Value": 32.0}})
        assert quotas.vcpu_quota(wire.aws, "t3.micro") == VcpuQuota(quota=32, used=6, vcpus_per_instance=2)


def test_credentials_that_may_not_read_the_quota_are_no_obstacle() -> None:
    sizes = [{"InstanceType": "t3.micro", "VCpuInfo": {"DefaultVCpus": 2}}]
    with scripted() as wire:
        wire.answer("ec2", "describe_instances", STATES, {"Reservations": []})
        wire.answer("ec2", "describe_instance_types", {"InstanceTypes": ["t3.micro"]}, {"InstanceTypes": sizes})
        wire.refuse("service-quotas", "get_service_quota", ASKED, "AccessDeniedException")
        assert quotas.vcpu_quota(wire.aws, "t3.micro") == VcpuQuota(quota=None, used=0, vcpus_per_instance=2)
