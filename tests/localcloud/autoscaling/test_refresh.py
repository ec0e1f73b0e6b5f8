"""Instance refreshes run as AWS documents them: they can fail, pause, be cancelled and rolled back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud_fleet import TrafficGenerator
from tests.support.cloud_server import eventually

SAFE = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 0}


def refused(code: str, text: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{text}")


def begin(town: Any, template: dict[str, str] | None, **preferences: Any) -> str:
    asked = {"DesiredConfiguration": {"LaunchTemplate": template}} if template else {}
    return str(
        town.autoscaling.start_instance_refresh(
            AutoScalingGroupName="web", Preferences={**SAFE, **preferences}, **asked
        )["InstanceRefreshId"]
    )


def told(town: Any) -> Any:
    return town.autoscaling.describe_instance_refreshes(AutoScalingGroupName="web")["InstanceRefreshes"][0]


def until(town: Any, status: str, seconds: float = 10) -> Any:
    def there() -> Any:
        now = told(town)
        assert now["Status"] == status or "EndTime" not in now, now
        return now["Status"] == status

    eventually(there, seconds)
    return told(town)


def versions(town: Any) -> list[str]:
    return sorted(one["LaunchTemplate"]["Version"] for one in town.group()["Instances"])


def test_the_only_member_is_replaced_without_a_failed_request(town: Any) -> None:
    arn = town.make_balancer()
    first = town.template(town.bake("v1"))
    town.make_group(first, 1, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=60)
    (old,) = town.in_service(1)
    town.healthy(arn, 1)
    second = town.version(town.bake("v2"))
    with TrafficGenerator(town.address) as visitors:
        begin(town, second, AutoRollback=True)
        eventually(lambda: len(town.members("InService")) == 2)
        assert town.group()["LaunchTemplate"]["Version"] == "1"  # not before the success
        done = until(town, "Successful")
    assert visitors.failures == []
    assert visitors.served[0].endswith("v1")
    assert visitors.served[-1].endswith("v2")
    assert (done["PercentageComplete"], done["InstancesToUpdate"]) == (100, 0)
    assert done["EndTime"] > done["StartTime"]
    assert done["Preferences"]["ScaleInProtectedInstances"] == "Wait"
    assert done["DesiredConfiguration"]["LaunchTemplate"] == second
    assert (town.group()["LaunchTemplate"]["Version"], versions(town)) == ("2", ["2"])
    assert old not in town.members()
    with refused("ActiveInstanceRefreshNotFound"):
        town.autoscaling.rollback_instance_refresh(AutoScalingGroupName="web")


def test_a_sick_image_is_rolled_back_while_the_old_members_serve(town: Any) -> None:
    arn = town.make_balancer()
    first = town.template(town.bake("v1"))
    town.make_group(first, 2, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=1)
    old = set(town.in_service(2))
    town.healthy(arn, 2)
    with TrafficGenerator(town.address) as visitors:
        begin(town, town.version(town.bake("v2 sick")), AutoRollback=True)
        eventually(lambda: "do not become healthy" in told(town).get("StatusReason", ""), 15)
        until(town, "RollbackInProgress", 15)
        done = until(town, "RollbackSuccessful", 15)
    assert visitors.failures == []
    assert {text.split()[1] for text in visitors.served} == {"v1"}
    assert done["RollbackDetails"]["RollbackReason"].startswith("The instance refresh failed")
    assert done["PercentageComplete"] == 0
    assert set(town.members("InService")) == old
    assert town.group()["LaunchTemplate"]["Version"] == "1"


def test_without_auto_rollback_it_fails_and_leaves_the_group_s_settings(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 1)
    town.in_service(1)
    second = town.version(town.bake("v2"))
    town.server.cloud.faults.add({"kind": "failed_launch", "times": 50})
    begin(town, second)
    done = until(town, "Failed")
    assert "Instances cannot be launched" in done["StatusReason"]
    assert town.group()["LaunchTemplate"]["Version"] == "1"
    assert versions(town) == ["1"]


def test_checkpoints_wait_and_a_rollback_there_brings_back_what_was(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 4)
    town.in_service(4)
    begin(town, town.version(town.bake("v2")), CheckpointPercentages=[25, 50, 100], CheckpointDelay=1)
    eventually(lambda: told(town)["PercentageComplete"] == 25)
    assert told(town)["InstancesToUpdate"] == 3
    eventually(lambda: "checkpoint" in told(town).get("StatusReason", ""))
    started = time.monotonic()
    eventually(lambda: versions(town).count("2") > 1)
    assert time.monotonic() - started > 0.5
    eventually(lambda: told(town)["PercentageComplete"] == 50)
    with refused("InstanceRefreshInProgress"):
        begin(town, None)
    town.autoscaling.rollback_instance_refresh(AutoScalingGroupName="web")
    done = until(town, "RollbackSuccessful")
    assert done["RollbackDetails"]["PercentageCompleteOnRollback"] == 50
    assert (versions(town), done["PercentageComplete"]) == (["1"] * 4, 0)


def test_warm_up_and_bake_time_are_waited_for(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 1)
    town.in_service(1)
    started = time.monotonic()
    begin(town, town.version(town.bake("v2")), InstanceWarmup=1, BakeTime=1)
    eventually(lambda: "warming up" in told(town).get("StatusReason", ""))
    assert len(town.members("InService")) == 2
    until(town, "Baking")
    assert town.group()["LaunchTemplate"]["Version"] == "1"
    until(town, "Successful")
    assert time.monotonic() - started > 2


def test_matching_members_are_skipped(town: Any) -> None:
    named = town.template(town.bake("v1"))
    town.make_group(named, 2)
    before = town.in_service(2)
    begin(town, named, SkipMatching=True)
    until(town, "Successful")
    assert town.members() == before
    begin(town, named)
    until(town, "Successful")
    assert not set(town.members()) & set(before)


def test_cancelling_leaves_what_is_done(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 2)
    town.in_service(2)
    begin(town, town.version(town.bake("v2")), CheckpointPercentages=[50, 100], CheckpointDelay=600)
    eventually(lambda: told(town)["PercentageComplete"] == 50 and len(town.members()) == 2)
    town.autoscaling.cancel_instance_refresh(AutoScalingGroupName="web")
    done = until(town, "Cancelled")
    assert done["StatusReason"] == "Cancelled due to user request."
    assert versions(town) == ["1", "2"]
    assert town.group()["LaunchTemplate"]["Version"] == "1"
    with refused("ActiveInstanceRefreshNotFound"):
        town.autoscaling.cancel_instance_refresh(AutoScalingGroupName="web")


def test_the_defaults_can_take_the_only_member_away(town: Any) -> None:
    """Minimum 90 % and no maximum: terminate first, as on AWS."""
    town.make_group(town.template(town.bake("v1")), 1)
    town.in_service(1)
    seen = set()
    town.autoscaling.start_instance_refresh(AutoScalingGroupName="web", Preferences={"InstanceWarmup": 0})

    def done() -> bool:
        seen.add(len(town.members("InService")))
        return bool(told(town)["Status"] == "Successful")

    eventually(done)
    assert 0 in seen
    assert 2 not in seen


def test_held_members_make_it_wait_then_fail_unless_told_otherwise(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 1, NewInstancesProtectedFromScaleIn=True)
    town.in_service(1)
    second = town.version(town.bake("v2"))
    begin(town, second)
    assert "protected from scale in" in until(town, "Failed")["StatusReason"]
    begin(town, second, ScaleInProtectedInstances="Refresh")
    until(town, "Successful")
    assert versions(town) == ["2"]


def test_what_aws_refuses_is_refused(town: Any) -> None:
    named = town.template(town.bake("v1"))
    latest = {**named, "Version": "$Latest"}
    town.make_group(latest, 1)
    town.in_service(1)
    with refused("ValidationError", "AutoRollback"):
        begin(town, named, AutoRollback=True)
    with refused("ValidationError", "cannot be greater than 100"):
        begin(town, named, MinHealthyPercentage=50)
    with refused("ValidationError", "ascending"):
        begin(town, named, CheckpointPercentages=[50, 20])
    with refused("ValidationError", "fully-formed launch template"):
        begin(town, {**named, "Version": "7"})
    begin(town, named, InstanceWarmup=600)
    with refused("IrreversibleInstanceRefresh"):
        town.autoscaling.rollback_instance_refresh(AutoScalingGroupName="web")
    with refused("ValidationError", "active instance refresh"):
        town.autoscaling.update_auto_scaling_group(AutoScalingGroupName="web", LaunchTemplate=named)
    town.autoscaling.update_auto_scaling_group(AutoScalingGroupName="web", MaxSize=5)


def test_a_refresh_survives_a_restart_of_the_cloud(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 2)
    town.in_service(2)
    begin(town, town.version(town.bake("v2")), CheckpointPercentages=[50, 100], CheckpointDelay=2)
    eventually(lambda: told(town)["PercentageComplete"] == 50)
    town.restart()
    until(town, "Successful", 15)
    assert versions(town) == ["2", "2"]


def test_a_last_checkpoint_below_100_leaves_the_others_as_they_are(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 2)
    town.in_service(2)
    begin(town, town.version(town.bake("v2")), CheckpointPercentages=[50], CheckpointDelay=0)
    assert until(town, "Successful")["PercentageComplete"] == 50
    town.in_service(2)
    assert versions(town) == ["1", "2"]


def test_a_suspended_process_holds_it_up(town: Any) -> None:
    town.make_group(town.template(town.bake("v1")), 1)
    town.in_service(1)
    town.autoscaling.suspend_processes(AutoScalingGroupName="web", ScalingProcesses=["InstanceRefresh"])
    begin(town, town.version(town.bake("v2")))
    eventually(lambda: told(town).get("StatusReason") == "The InstanceRefresh process is suspended.")
    town.autoscaling.resume_processes(AutoScalingGroupName="web")
    until(town, "Successful")
