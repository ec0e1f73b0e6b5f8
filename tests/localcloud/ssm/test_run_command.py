"""Run Command runs on the machine, tells its end truthfully, and reaches only what Systems Manager manages."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud_server import eventually


def managed(town: Any) -> str:
    """An instance whose role lets the agent in."""
    allow = {"Effect": "Allow", "Action": ["ssm:UpdateInstanceInformation"], "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [allow]}
    town.iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    town.iam.put_role_policy(RoleName="web", PolicyName="agent", PolicyDocument=json.dumps(document))
    town.iam.create_instance_profile(InstanceProfileName="web")
    town.iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    instance = str(town.run(IamInstanceProfile={"Name": "web"}))
    eventually(lambda: town.ssm.describe_instance_information()["InstanceInformationList"])
    return instance


def send(town: Any, instance: str, *lines: str, **asked: Any) -> str:
    limit = {"executionTimeout": [asked.pop("limit")]} if "limit" in asked else {}
    given = asked if "Targets" in asked else {"InstanceIds": [instance], **asked}
    return str(
        town.ssm.send_command(
            DocumentName="AWS-RunShellScript", Parameters={"commands": list(lines), **limit}, **given
        )["Command"]["CommandId"]
    )


def outcome(town: Any, command: str, instance: str) -> Any:
    def ended() -> Any:
        now = town.ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        return now if now["Status"] not in ("Pending", "InProgress") else None

    return eventually(ended)


def test_a_script_runs_and_its_output_and_code_come_back(town: Any) -> None:
    instance = managed(town)
    command = send(town, instance, "echo out; echo err >&2", "id -u", "pwd", "cat")
    done = outcome(town, command, instance)
    assert (done["Status"], done["ResponseCode"]) == ("Success", 0)
    assert done["StandardOutputContent"] == "out\n0\n/usr/bin\n"
    assert done["StandardErrorContent"] == "err\n"
    failed = outcome(town, send(town, instance, "#!/bin/bash", "echo ${BASH_VERSION:+bash}; exit 7"), instance)
    assert (failed["Status"], failed["ResponseCode"], failed["StandardOutputContent"]) == ("Failed", 7, "bash\n")
    assert "exit status 7" in failed["StandardErrorContent"]
    (listed,) = town.ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    assert listed["CommandPlugins"][0]["Output"] == "out\n0\n/usr/bin\n\n----------ERROR-------\nerr\n"
    newest, _ = town.ssm.list_commands()["Commands"]
    assert (newest["Status"], newest["ErrorCount"], newest["CompletedCount"]) == ("Failed", 1, 1)


def test_output_is_limited_as_on_aws(town: Any) -> None:
    instance = managed(town)
    command = send(town, instance, "head -c 50000 /dev/zero | tr '\\0' x; head -c 50000 /dev/zero | tr '\\0' y >&2")
    done = outcome(town, command, instance)
    assert (len(done["StandardOutputContent"]), len(done["StandardErrorContent"])) == (24000, 8000)


def test_a_script_that_takes_too_long_is_ended(town: Any) -> None:
    instance = managed(town)
    done = outcome(town, send(town, instance, "sleep 60", limit="1"), instance)
    assert (done["Status"], done["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")


def test_what_is_not_managed_is_refused(town: Any) -> None:
    instance = town.run()
    town.wait(instance, "running")
    with pytest.raises(ClientError, match=r"\(InvalidInstanceId\)"):
        send(town, instance, "true")
    with pytest.raises(ClientError, match=r"\(InvocationDoesNotExist\)"):
        town.ssm.get_command_invocation(CommandId=send(town, managed(town), "true"), InstanceId=instance)
    with pytest.raises(ClientError, match=r"\(InvalidDocument\)"):
        town.ssm.send_command(DocumentName="Nothing", InstanceIds=[instance])


def test_a_machine_that_does_not_answer_gets_its_command_later_or_never(town: Any) -> None:
    instance = managed(town)
    machine = town.machine(instance)
    machine.deaf = True
    command = send(town, instance, "echo late")
    time.sleep(0.3)
    assert town.ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"] == "Pending"
    machine.deaf = False
    assert outcome(town, command, instance)["StandardOutputContent"] == "late\n"
    machine.deaf = True
    command = send(town, instance, "true")
    town.ec2.terminate_instances(InstanceIds=[instance])
    assert outcome(town, command, instance)["StatusDetails"] == "Undeliverable"


def test_tags_choose_the_machines(town: Any) -> None:
    instance = managed(town)
    town.ec2.create_tags(Resources=[instance], Tags=[{"Key": "Role", "Value": "web"}])
    command = send(town, instance, "echo here", Targets=[{"Key": "tag:Role", "Values": ["web"]}])
    assert outcome(town, command, instance)["Status"] == "Success"
    assert town.ssm.list_commands(CommandId=command)["Commands"][0]["TargetCount"] == 1
