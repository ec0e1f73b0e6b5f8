"""Run Command runs on the machine, tells its end truthfully, and reaches only what Systems Manager manages."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud_server import eventually


def run_managed_instance(fleet_cloud: Any) -> str:
    """An instance whose role lets the agent in."""
    allow = {"Effect": "Allow", "Action": ["ssm:UpdateInstanceInformation"], "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [allow]}
    fleet_cloud.iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    fleet_cloud.iam.put_role_policy(RoleName="web", PolicyName="agent", PolicyDocument=json.dumps(document))
    fleet_cloud.iam.create_instance_profile(InstanceProfileName="web")
    fleet_cloud.iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    instance = str(fleet_cloud.run(IamInstanceProfile={"Name": "web"}))
    eventually(lambda: fleet_cloud.ssm.describe_instance_information()["InstanceInformationList"])
    return instance


def send(fleet_cloud: Any, instance: str, *lines: str, **options: Any) -> str:
    limit = {"executionTimeout": [options.pop("limit")]} if "limit" in options else {}
    given = options if "Targets" in options else {"InstanceIds": [instance], **options}
    return str(
        fleet_cloud.ssm.send_command(
            DocumentName="AWS-RunShellScript", Parameters={"commands": list(lines), **limit}, **given
        )["Command"]["CommandId"]
    )


def wait_for_invocation(fleet_cloud: Any, command: str, instance: str) -> Any:
    def ended() -> Any:
        now = fleet_cloud.ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        return now if now["Status"] not in ("Pending", "InProgress") else None

    return eventually(ended)


def test_a_script_runs_and_its_output_and_code_come_back(fleet_cloud: Any) -> None:
    instance = run_managed_instance(fleet_cloud)
    command = send(fleet_cloud, instance, "echo out; echo err >&2", "id -u", "pwd", "cat")
    done = wait_for_invocation(fleet_cloud, command, instance)
    assert (done["Status"], done["ResponseCode"]) == ("Success", 0)
    assert done["StandardOutputContent"] == "out\n0\n/usr/bin\n"
    assert done["StandardErrorContent"] == "err\n"
    failed = wait_for_invocation(
        fleet_cloud, send(fleet_cloud, instance, "#!/bin/bash", "echo ${BASH_VERSION:+bash}; exit 7"), instance
    )
    assert (failed["Status"], failed["ResponseCode"], failed["StandardOutputContent"]) == ("Failed", 7, "bash\n")
    assert "exit status 7" in failed["StandardErrorContent"]
    (listed,) = fleet_cloud.ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    assert listed["CommandPlugins"][0]["Output"] == "out\n0\n/usr/bin\n\n----------ERROR-------\nerr\n"
    newest, _ = fleet_cloud.ssm.list_commands()["Commands"]
    assert (newest["Status"], newest["ErrorCount"], newest["CompletedCount"]) == ("Failed", 1, 1)


def test_output_is_limited_as_on_aws(fleet_cloud: Any) -> None:
    instance = run_managed_instance(fleet_cloud)
    command = send(
        fleet_cloud, instance, "head -c 50000 /dev/zero | tr '\\0' x; head -c 50000 /dev/zero | tr '\\0' y >&2"
    )
    done = wait_for_invocation(fleet_cloud, command, instance)
    assert (len(done["StandardOutputContent"]), len(done["StandardErrorContent"])) == (24000, 8000)


def test_a_script_that_takes_too_long_is_ended(fleet_cloud: Any) -> None:
    instance = run_managed_instance(fleet_cloud)
    done = wait_for_invocation(fleet_cloud, send(fleet_cloud, instance, "sleep 60", limit="1"), instance)
    assert (done["Status"], done["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_what_is_not_managed_is_refused(fleet_cloud: Any) -> None:
    instance = fleet_cloud.run()
    fleet_cloud.wait(instance, "running")
    with pytest.raises(ClientError, match=r"\(InvalidInstanceId\)"):
        send(fleet_cloud, instance, "true")
    with pytest.raises(ClientError, match=r"\(InvocationDoesNotExist\)"):
        fleet_cloud.ssm.get_command_invocation(
            CommandId=send(fleet_cloud, run_managed_instance(fleet_cloud), "true"), InstanceId=instance
        )
    with pytest.raises(ClientError, match=r"\(InvalidDocument\)"):
        fleet_cloud.ssm.send_command(DocumentName="Nothing", InstanceIds=[instance])


def test_a_machine_that_does_not_answer_gets_its_command_later_or_never(fleet_cloud: Any) -> None:
    instance = run_managed_instance(fleet_cloud)
    machine = fleet_cloud.machine(instance)
    machine.deaf = True
    command = send(fleet_cloud, instance, "echo late")
    time.sleep(0.3)
    assert fleet_cloud.ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"] == "Pending"
    machine.deaf = False
    assert wait_for_invocation(fleet_cloud, command, instance)["StandardOutputContent"] == "late\n"
    machine.deaf = True
    command = send(fleet_cloud, instance, "true")
    fleet_cloud.ec2.terminate_instances(InstanceIds=[instance])
    assert wait_for_invocation(fleet_cloud, command, instance)["StatusDetails"] == "Undeliverable"


def test_tags_choose_the_machines(fleet_cloud: Any) -> None:
    instance = run_managed_instance(fleet_cloud)
    fleet_cloud.ec2.create_tags(Resources=[instance], Tags=[{"Key": "Role", "Value": "web"}])
    command = send(fleet_cloud, instance, "echo here", Targets=[{"Key": "tag:Role", "Values": ["web"]}])
    assert wait_for_invocation(fleet_cloud, command, instance)["Status"] == "Success"
    assert fleet_cloud.ssm.list_commands(CommandId=command)["Commands"][0]["TargetCount"] == 1
