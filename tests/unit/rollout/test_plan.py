"""Capacity of a rollout: instances, vCPU quota, price."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from goldenami.aws import quotas
from goldenami.model.auto_scaling import InstanceRefresh
from goldenami.model.fleet import CanaryGroup
from goldenami.model.resources import VcpuQuota
from goldenami.promote.plan import plan_promotion
from goldenami.rollout.plan import refresh_preferences, surge_capacity
from tests.support.aws_stubs import scripted
from tests.support.fleet_states import NEW, OLD, fleet_state, group, request_for, template

STATES = {"Filters": [{"Name": "instance-state-name", "Values": ["pending", "running"]}]}
ASKED = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}


@given(desired=st.integers(1, 400), steps=st.sampled_from([(), (10, 50, 100)]), watch=st.integers(0, 3600))
def test_surge_is_what_aws_launches_and_a_canary_group_as_large_as_the_fleet(
    desired: int, steps: tuple[int, ...], watch: int
) -> None:
    preferences = refresh_preferences(desired, request_for(canary=100, watch=0))
    surge = surge_capacity(desired, preferences, steps, watch)
    assert surge.instances >= 1 + (desired if steps else 0)
    assert surge.instances <= desired * 2
    assert surge.instance_hours > 0
    dollars = surge.dollars("ap-northeast-2", "t3.micro")
    assert dollars == pytest.approx(surge.instance_hours * 0.013)
    assert surge.dollars("ap-northeast-2", "x9.huge") is None


def test_surge_beyond_the_quota_is_blocked() -> None:
    assert plan_promotion(request_for(), fleet_state(), VcpuQuota(quota=4, used=2, vcpus_per_instance=2)).blockers == ()
    (blocker,) = plan_promotion(request_for(), fleet_state(), VcpuQuota(quota=3, used=2, vcpus_per_instance=2)).blockers
    assert "no room for 1 more instance(s) with 2 vCPUs" in blocker
    shifting = fleet_state(group=group(target_groups=("arn:tg",)))
    assert plan_promotion(
        request_for(traffic=(10, 100)), shifting, VcpuQuota(quota=5, used=2, vcpus_per_instance=2)
    ).blockers
    assert (
        plan_promotion(
            request_for(traffic=(10, 100)), shifting, VcpuQuota(quota=6, used=2, vcpus_per_instance=2)
        ).blockers
        == ()
    )


def test_rollout_in_progress_has_its_capacity_already() -> None:
    full = VcpuQuota(quota=4, used=4, vcpus_per_instance=2)
    rolling = fleet_state(template=template(OLD, NEW), refreshes=(InstanceRefresh("r", "InProgress", 2),))
    assert plan_promotion(request_for(), rolling, full).blockers == ()
    assert plan_promotion(request_for(), fleet_state(canary=CanaryGroup(group(), 50)), full).blockers == ()


def test_quota_that_cannot_be_read_is_a_warning() -> None:
    plan = plan_promotion(request_for(), fleet_state(), VcpuQuota(quota=None, used=2, vcpus_per_instance=2))
    assert plan.blockers == ()
    assert any("cannot be read" in note for note in plan.warnings)


def test_quota_counts_on_demand_standard_instances() -> None:
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


def test_quota_without_permission_is_unknown() -> None:
    sizes = [{"InstanceType": "t3.micro", "VCpuInfo": {"DefaultVCpus": 2}}]
    with scripted() as wire:
        wire.answer("ec2", "describe_instances", STATES, {"Reservations": []})
        wire.answer("ec2", "describe_instance_types", {"InstanceTypes": ["t3.micro"]}, {"InstanceTypes": sizes})
        wire.refuse("service-quotas", "get_service_quota", ASKED, "AccessDeniedException")
        assert quotas.vcpu_quota(wire.aws, "t3.micro") == VcpuQuota(quota=None, used=0, vcpus_per_instance=2)
