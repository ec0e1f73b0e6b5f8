"""The least-privilege policies: whole, narrow, and of every task that changes something."""

from __future__ import annotations

import json

import pytest

from goldenami.errors import UsageError
from goldenami.iam.instance_role import fleet_policy
from goldenami.iam.statements import PolicyScope
from goldenami.iam.task_policies import policy, task_names
from tests.support.recipes import RDS, recipe

PLACE = PolicyScope("ap-northeast-2", "123456789012", recipe())


@pytest.mark.parametrize("task", task_names())
def test_a_policy_is_whole_and_narrow(task: str) -> None:
    found = policy(task, PLACE)
    assert found["Version"] == "2012-10-17"
    # IAM does not count white space.
    assert len(json.dumps(found, separators=(",", ":"))) < 10240, "more than a role's inline policies may have"
    names = [statement["Sid"] for statement in found["Statement"]]
    assert len(names) == len(set(names))
    for statement in found["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            service, _, verb = action.partition(":")
            assert "*" not in action
            looks = verb.startswith(("Describe", "Get", "List"))
            if statement["Resource"] == "*" and not looks:
                assert "Condition" in statement, (service, verb)


def test_looking_changes_nothing() -> None:
    for task in ("status", "instances", "console", "fleet.show"):
        actions = [a.partition(":")[2] for s in policy(task, PLACE)["Statement"] for a in s["Action"]]
        assert all(action.startswith(("Describe", "Get")) for action in actions), task


def test_promotion_may_not_touch_the_group_itself_nor_terminate() -> None:
    place = PolicyScope("ap-northeast-2", "123456789012", recipe(RDS))
    actions = {a for s in policy("promote", place)["Statement"] for a in s["Action"]}
    assert "autoscaling:StartInstanceRefresh" in actions
    assert not any(a.startswith("s3:") for a in actions)
    assert not actions & {"autoscaling:UpdateAutoScalingGroup", "ec2:TerminateInstances", "ec2:DeregisterImage"}


def test_a_promotion_that_shifts_the_traffic_may_touch_the_trial_and_the_weights_alone() -> None:
    place = PolicyScope(
        "ap-northeast-2", "123456789012", recipe({**RDS, "promote.traffic": [10, 100], "promote.alarms": ["5xx"]})
    )
    found = {s["Sid"]: s for s in policy("promote", place)["Statement"]}
    plain = {
        s["Sid"] for s in policy("promote", PolicyScope("ap-northeast-2", "123456789012", recipe(RDS)))["Statement"]
    }
    assert set(found) - plain == {"CanaryGroup", "CanaryTargets", "Weights", "DescribeNetwork", "Alarms"}
    assert found["CanaryGroup"]["Resource"].endswith("autoScalingGroupName/guestbook-asg-canary")
    assert found["Weights"]["Action"] == ["elasticloadbalancing:ModifyListener"]


def test_a_migration_may_say_where_the_new_home_is() -> None:
    place = PolicyScope("ap-northeast-2", "123456789012", recipe(RDS))
    found = {s["Sid"]: s for s in policy("db.migrate", place)["Statement"]}
    assert found["DatabaseHost"]["Resource"].endswith(":parameter/guestbook/production/db/host")
    assert {"Replace", "Switchover", "Bucket", "Role"} <= set(found)
    assert "DatabaseHost" not in {s["Sid"] for s in policy("db.migrate", PLACE)["Statement"]}


def test_an_unknown_task_is_told_what_there_is() -> None:
    with pytest.raises(UsageError, match="promote"):
        policy("fly", PLACE)


def test_the_instances_role_reads_its_parameters_and_writes_its_logs() -> None:
    found = fleet_policy("ap-northeast-2", "123456789012", "guestbook", ["/guestbook/db"], run_command=False)
    assert [statement["Action"][0] for statement in found["Statement"]] == ["ssm:GetParameter", "logs:CreateLogGroup"]
    assert all(resource != "*" for s in found["Statement"] for resource in s["Resource"])
    agent = fleet_policy("ap-northeast-2", "123456789012", "guestbook", ["/guestbook/db"], run_command=True)
    assert any("ssmmessages:OpenDataChannel" in s["Action"] for s in agent["Statement"])


def test_an_instance_may_write_its_own_backups_and_nobody_elses() -> None:
    found = fleet_policy("ap-northeast-2", "123456789012", "guestbook", [], run_command=True, bucket="kept")
    (statement,) = [s for s in found["Statement"] if s["Action"][0].startswith("s3:")]
    assert statement["Action"] == ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
    assert statement["Resource"] == "arn:aws:s3:::kept/guestbook/backups/*"
