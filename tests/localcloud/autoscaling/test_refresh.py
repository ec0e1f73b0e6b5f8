"""Instance refreshes run as AWS documents them: they can fail, pause, be cancelled and rolled back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud_fleet import TrafficGenerator
from tests.support.cloud_server import eventually

SAFE = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 0}


def raises(code: str, text: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{text}")


def begin(fleet_cloud: Any, template: dict[str, str] | None, **preferences: Any) -> str:
    options = {"DesiredConfiguration": {"LaunchTemplate": template}} if template else {}
    return str(
        fleet_cloud.autoscaling.start_instance_refresh(
            AutoScalingGroupName="web", Preferences={**SAFE, **preferences}, **options
        )["InstanceRefreshId"]
    )


def describe_refresh(fleet_cloud: Any) -> Any:
    return fleet_cloud.autoscaling.describe_instance_refreshes(AutoScalingGroupName="web")["InstanceRefreshes"][0]


def wait_for_status(fleet_cloud: Any, status: str, seconds: float = 10) -> Any:
    def there() -> Any:
        now = describe_refresh(fleet_cloud)
        assert now["Status"] == status or "EndTime" not in now, now
        return now["Status"] == status

    eventually(there, seconds)
    return describe_refresh(fleet_cloud)


def versions(fleet_cloud: Any) -> list[str]:
    return sorted(one["LaunchTemplate"]["Version"] for one in fleet_cloud.group()["Instances"])


def test_the_only_member_is_replaced_without_a_failed_request(fleet_cloud: Any) -> None:
    arn = fleet_cloud.make_balancer()
    first = fleet_cloud.template(fleet_cloud.bake("v1"))
    fleet_cloud.make_group(first, 1, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=60)
    (old,) = fleet_cloud.in_service(1)
    fleet_cloud.healthy(arn, 1)
    second = fleet_cloud.version(fleet_cloud.bake("v2"))
    with TrafficGenerator(fleet_cloud.address) as visitors:
        begin(fleet_cloud, second, AutoRollback=True)
        eventually(lambda: len(fleet_cloud.members("InService")) == 2)
        assert fleet_cloud.group()["LaunchTemplate"]["Version"] == "1"  # not before the success
        done = wait_for_status(fleet_cloud, "Successful")
    assert visitors.failures == []
    assert visitors.served[0].endswith("v1")
    assert visitors.served[-1].endswith("v2")
    assert (done["PercentageComplete"], done["InstancesToUpdate"]) == (100, 0)
    assert done["EndTime"] > done["StartTime"]
    assert done["Preferences"]["ScaleInProtectedInstances"] == "Wait"
    assert done["DesiredConfiguration"]["LaunchTemplate"] == second
    assert (fleet_cloud.group()["LaunchTemplate"]["Version"], versions(fleet_cloud)) == ("2", ["2"])
    assert old not in fleet_cloud.members()
    with raises("ActiveInstanceRefreshNotFound"):
        fleet_cloud.autoscaling.rollback_instance_refresh(AutoScalingGroupName="web")


def test_a_sick_image_is_rolled_back_while_the_old_members_serve(fleet_cloud: Any) -> None:
    arn = fleet_cloud.make_balancer()
    first = fleet_cloud.template(fleet_cloud.bake("v1"))
    fleet_cloud.make_group(first, 2, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=1)
    old = set(fleet_cloud.in_service(2))
    fleet_cloud.healthy(arn, 2)
    with TrafficGenerator(fleet_cloud.address) as visitors:
        begin(fleet_cloud, fleet_cloud.version(fleet_cloud.bake("v2 sick")), AutoRollback=True)
        eventually(lambda: "do not become healthy" in describe_refresh(fleet_cloud).get("StatusReason", ""), 15)
        wait_for_status(fleet_cloud, "RollbackInProgress", 15)
        done = wait_for_status(fleet_cloud, "RollbackSuccessful", 15)
    assert visitors.failures == []
    assert {text.split()[1] for text in visitors.served} == {"v1"}
    assert done["RollbackDetails"]["RollbackReason"].startswith("The instance refresh failed")
    assert done["PercentageComplete"] == 0
    assert set(fleet_cloud.members("InService")) == old
    assert fleet_cloud.group()["LaunchTemplate"]["Version"] == "1"


def test_without_auto_rollback_it_fails_and_leaves_the_group_s_settings(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 1)
    fleet_cloud.in_service(1)
    second = fleet_cloud.version(fleet_cloud.bake("v2"))
    fleet_cloud.server.cloud.faults.add({"kind": "failed_launch", "times": 50})
    begin(fleet_cloud, second)
    done = wait_for_status(fleet_cloud, "Failed")
    assert "Instances cannot be launched" in done["StatusReason"]
    assert fleet_cloud.group()["LaunchTemplate"]["Version"] == "1"
    assert versions(fleet_cloud) == ["1"]


def test_checkpoints_wait_and_a_rollback_there_brings_back_what_was(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 4)
    fleet_cloud.in_service(4)
    begin(
        fleet_cloud, fleet_cloud.version(fleet_cloud.bake("v2")), CheckpointPercentages=[25, 50, 100], CheckpointDelay=1
    )
    eventually(lambda: describe_refresh(fleet_cloud)["PercentageComplete"] == 25)
    assert describe_refresh(fleet_cloud)["InstancesToUpdate"] == 3
    eventually(lambda: "checkpoint" in describe_refresh(fleet_cloud).get("StatusReason", ""))
    started = time.monotonic()
    eventually(lambda: versions(fleet_cloud).count("2") > 1)
    assert time.monotonic() - started > 0.5
    eventually(lambda: describe_refresh(fleet_cloud)["PercentageComplete"] == 50)
    with raises("InstanceRefreshInProgress"):
        begin(fleet_cloud, None)
    fleet_cloud.autoscaling.rollback_instance_refresh(AutoScalingGroupName="web")
    done = wait_for_status(fleet_cloud, "RollbackSuccessful")
    assert done["RollbackDetails"]["PercentageCompleteOnRollback"] == 50
    assert (versions(fleet_cloud), done["PercentageComplete"]) == (["1"] * 4, 0)


def test_warm_up_and_bake_time_are_waited_for(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 1)
    fleet_cloud.in_service(1)
    started = time.monotonic()
    begin(fleet_cloud, fleet_cloud.version(fleet_cloud.bake("v2")), InstanceWarmup=1, BakeTime=1)
    eventually(lambda: "warming up" in describe_refresh(fleet_cloud).get("StatusReason", ""))
    assert len(fleet_cloud.members("InService")) == 2
    wait_for_status(fleet_cloud, "Baking")
    assert fleet_cloud.group()["LaunchTemplate"]["Version"] == "1"
    wait_for_status(fleet_cloud, "Successful")
    assert time.monotonic() - started > 2


def test_matching_members_are_skipped(fleet_cloud: Any) -> None:
    named = fleet_cloud.template(fleet_cloud.bake("v1"))
    fleet_cloud.make_group(named, 2)
    before = fleet_cloud.in_service(2)
    begin(fleet_cloud, named, SkipMatching=True)
    wait_for_status(fleet_cloud, "Successful")
    assert fleet_cloud.members() == before
    begin(fleet_cloud, named)
    wait_for_status(fleet_cloud, "Successful")
    assert not set(fleet_cloud.members()) & set(before)


def test_cancelling_leaves_what_is_done(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 2)
    fleet_cloud.in_service(2)
    begin(
        fleet_cloud, fleet_cloud.version(fleet_cloud.bake("v2")), CheckpointPercentages=[50, 100], CheckpointDelay=600
    )
    eventually(lambda: describe_refresh(fleet_cloud)["PercentageComplete"] == 50 and len(fleet_cloud.members()) == 2)
    fleet_cloud.autoscaling.cancel_instance_refresh(AutoScalingGroupName="web")
    done = wait_for_status(fleet_cloud, "Cancelled")
    assert done["StatusReason"] == "Cancelled due to user request."
    assert versions(fleet_cloud) == ["1", "2"]
    assert fleet_cloud.group()["LaunchTemplate"]["Version"] == "1"
    with raises("ActiveInstanceRefreshNotFound"):
        fleet_cloud.autoscaling.cancel_instance_refresh(AutoScalingGroupName="web")


def test_the_defaults_can_take_the_only_member_away(fleet_cloud: Any) -> None:
    """Minimum 90 % and no maximum: terminate first, as on AWS."""
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 1)
    fleet_cloud.in_service(1)
    observed = set()
    fleet_cloud.autoscaling.start_instance_refresh(AutoScalingGroupName="web", Preferences={"InstanceWarmup": 0})

    def done() -> bool:
        observed.add(len(fleet_cloud.members("InService")))
        return bool(describe_refresh(fleet_cloud)["Status"] == "Successful")

    eventually(done)
    assert 0 in observed
    assert 2 not in observed


def test_held_members_make_it_wait_then_fail_unless_told_otherwise(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 1, NewInstancesProtectedFromScaleIn=True)
    fleet_cloud.in_service(1)
    second = fleet_cloud.version(fleet_cloud.bake("v2"))
    begin(fleet_cloud, second)
    assert "protected from scale in" in wait_for_status(fleet_cloud, "Failed")["StatusReason"]
    begin(fleet_cloud, second, ScaleInProtectedInstances="Refresh")
    wait_for_status(fleet_cloud, "Successful")
    assert versions(fleet_cloud) == ["2"]


def test_what_aws_refuses_is_refused(fleet_cloud: Any) -> None:
    named = fleet_cloud.template(fleet_cloud.bake("v1"))
    latest = {**named, "Version": "$Latest"}
    fleet_cloud.make_group(latest, 1)
    fleet_cloud.in_service(1)
    with raises("ValidationError", "AutoRollback"):
        begin(fleet_cloud, named, AutoRollback=True)
    with raises("ValidationError", "cannot be greater than 100"):
        begin(fleet_cloud, named, MinHealthyPercentage=50)
    with raises("ValidationError", "ascending"):
        begin(fleet_cloud, named, CheckpointPercentages=[50, 20])
    with raises("ValidationError", "fully-formed launch template"):
        begin(fleet_cloud, {**named, "Version": "7"})
    begin(fleet_cloud, named, InstanceWarmup=600)
    with raises("IrreversibleInstanceRefresh"):
        fleet_cloud.autoscaling.rollback_instance_refresh(AutoScalingGroupName="web")
    with raises("ValidationError", "active instance refresh"):
        fleet_cloud.autoscaling.update_auto_scaling_group(AutoScalingGroupName="web", LaunchTemplate=named)
    fleet_cloud.autoscaling.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=5)


def test_a_refresh_survives_a_restart_of_the_cloud(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 2)
    fleet_cloud.in_service(2)
    begin(fleet_cloud, fleet_cloud.version(fleet_cloud.bake("v2")), CheckpointPercentages=[50, 100], CheckpointDelay=2)
    eventually(lambda: describe_refresh(fleet_cloud)["PercentageComplete"] == 50)
    fleet_cloud.restart()
    wait_for_status(fleet_cloud, "Successful", 15)
    assert versions(fleet_cloud) == ["2", "2"]


def test_a_last_checkpoint_below_100_leaves_the_others_as_they_are(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 2)
    fleet_cloud.in_service(2)
    begin(fleet_cloud, fleet_cloud.version(fleet_cloud.bake("v2")), CheckpointPercentages=[50], CheckpointDelay=0)
    assert wait_for_status(fleet_cloud, "Successful")["PercentageComplete"] == 50
    fleet_cloud.in_service(2)
    assert versions(fleet_cloud) == ["1", "2"]


def test_a_suspended_process_holds_it_up(fleet_cloud: Any) -> None:
    fleet_cloud.make_group(fleet_cloud.template(fleet_cloud.bake("v1")), 1)
    fleet_cloud.in_service(1)
    fleet_cloud.autoscaling.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["InstanceRefresh"])
    begin(fleet_cloud, fleet_cloud.version(fleet_cloud.bake("v2")))
    eventually(lambda: describe_refresh(fleet_cloud).get("StatusReason") == "The InstanceRefresh process is suspended.")
    fleet_cloud.autoscaling.resume_processes(AutoScalingGroupName="web")
    wait_for_status(fleet_cloud, "Successful")
