"""The exact requests of a promotion, as AWS documents them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from goldenami.aws import cloudwatch, instance_refreshes, launch_templates, load_balancers, parameters, run_command
from goldenami.infra.launch_template_plan import client_token, version_overrides
from goldenami.model.auto_scaling import RefreshPreferences
from goldenami.tools.clock import SystemClock
from tests.support.aws_stubs import scripted
from tests.support.fleet_states import NEW, image
from tests.support.recipes import recipe

GROUP = "guestbook-asg"
REFRESH = "08b91cf7-8fa6-48af-b6a6-d227f40f1b9b"
START = {
    "AutoScalingGroupName": GROUP,
    "Strategy": "Rolling",
    "DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "7"}},
    "Preferences": {
        "MinHealthyPercentage": 100,
        "MaxHealthyPercentage": 200,
        "InstanceWarmup": 30,
        "SkipMatching": True,
        "AutoRollback": True,
        "ScaleInProtectedInstances": "Ignore",
        "StandbyInstances": "Ignore",
        "CheckpointPercentages": [33, 100],
        "CheckpointDelay": 300,
        "BakeTime": 60,
        "AlarmSpecification": {"Alarms": ["guestbook-5xx"]},
    },
}
WANTED = RefreshPreferences(100, 200, 30, checkpoints=(33, 100), delay=300, bake_time=60, alarms=("guestbook-5xx",))


def test_a_refresh_brings_a_numbered_version_as_the_desired_configuration() -> None:
    with scripted() as wire:
        wire.answer("autoscaling", "start_instance_refresh", START, {"InstanceRefreshId": REFRESH})
        assert instance_refreshes.start(wire.aws, GROUP, "lt-1", 7, WANTED) == REFRESH


def test_of_two_refreshes_the_second_is_none() -> None:
    with scripted() as wire:
        wire.refuse("autoscaling", "start_instance_refresh", START, "InstanceRefreshInProgress")
        assert instance_refreshes.start(wire.aws, GROUP, "lt-1", 7, WANTED) is None


def test_other_refusals_are_not_swallowed() -> None:
    with scripted() as wire:
        wire.refuse("autoscaling", "start_instance_refresh", START, "LimitExceeded")
        with pytest.raises(ClientError):
            instance_refreshes.start(wire.aws, GROUP, "lt-1", 7, WANTED)


@pytest.mark.parametrize("code", ["ActiveInstanceRefreshNotFound", "IrreversibleInstanceRefresh"])
def test_nothing_to_take_back_is_none(code: str) -> None:
    with scripted() as wire:
        wire.refuse("autoscaling", "rollback_instance_refresh", {"AutoScalingGroupName": GROUP}, code)
        assert instance_refreshes.roll_back(wire.aws, GROUP) is None


def test_a_refresh_as_aws_describes_it() -> None:
    told = {
        "InstanceRefreshId": REFRESH,
        "AutoScalingGroupName": GROUP,
        "Status": "InProgress",
        "StatusReason": "Waiting for instances to warm up before continuing.",
        "PercentageComplete": 33,
        "InstancesToUpdate": 2,
        "DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "7"}},
    }
    with scripted() as wire:
        asked = {"AutoScalingGroupName": GROUP, "InstanceRefreshIds": [REFRESH]}
        wire.answer("autoscaling", "describe_instance_refreshes", asked, {"InstanceRefreshes": [told]})
        found = instance_refreshes.get(wire.aws, GROUP, REFRESH)
    assert (found.version, found.percent, found.to_update, found.is_running) == (7, 33, 2, True)


def test_a_version_is_made_from_its_source_with_a_token() -> None:
    data = {"ImageId": NEW}
    asked = {
        "LaunchTemplateId": "lt-1",
        "SourceVersion": "3",
        "VersionDescription": "guestbook-golden-v1.1",
        "LaunchTemplateData": data,
        "ClientToken": client_token("lt-1", 3, data, 4),
    }
    with scripted() as wire:
        answer = {"LaunchTemplateVersion": {"LaunchTemplateId": "lt-1", "VersionNumber": 5}}
        wire.answer("ec2", "create_launch_template_version", asked, answer)
        made = launch_templates.add_version(
            wire.aws, "lt-1", 3, data, "guestbook-golden-v1.1", client_token("lt-1", 3, data, 4)
        )
    assert made == 5


def test_what_a_version_says_over_its_source() -> None:
    found = version_overrides(recipe(), image(tags={"Version": "1.1.0", "goldenami:run": "20260101-000000-abcdef"}))
    assert found == version_overrides(recipe(), image(tags={"Version": "1.1.0"})), "nothing of the run"
    assert found["ImageId"] == NEW
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert {spec["ResourceType"] for spec in found["TagSpecifications"]} == {"instance", "volume"}
    told = {tag["Key"]: tag["Value"] for tag in found["TagSpecifications"][0]["Tags"]}
    assert told["Name"] == "guestbook-v1.1"
    assert told["goldenami:fleet"] == "guestbook"
    assert "goldenami:run" not in told, "or a sweep would take the fleet for the leftovers of a run"


def test_the_pointer_is_published_with_its_note_and_read_back() -> None:
    name = "/goldenami/guestbook/production"
    with scripted() as wire:
        wire.refuse("ssm", "get_parameter", {"Name": name}, "ParameterNotFound")
        put = {"Name": name, "Value": NEW, "Type": "String", "DataType": "aws:ec2:image", "Overwrite": True}
        wire.answer("ssm", "put_parameter", {**put, "Description": "why"}, {"Version": 4})
        found = {"Parameter": {"Name": name, "Value": NEW, "Version": 4, "Type": "String"}}
        wire.answer("ssm", "get_parameter", {"Name": f"{name}:4"}, found)
        assert parameters.publish_ami(wire.aws, SystemClock(), name, NEW, "why") == 4


def test_the_former_pointer_is_labelled() -> None:
    with scripted() as wire:
        asked = {"Name": "/goldenami/guestbook/production", "ParameterVersion": 3, "Labels": ["previous"]}
        wire.answer("ssm", "label_parameter_version", asked, {"ParameterVersion": 3})
        parameters.label(wire.aws, "/goldenami/guestbook/production", 3, "previous")


SENT = {
    "InstanceIds": ["i-0123456789abcdef0"],
    "DocumentName": "AWS-RunShellScript",
    "Parameters": {"commands": ["true", "exit 3"], "executionTimeout": ["60"]},
    "TimeoutSeconds": 60,
    "Comment": "goldenami",
}
COMMAND = "0831e1a8-a1ac-4257-a1fd-c831b48c4107"


def test_a_script_runs_and_its_exit_code_comes_back() -> None:
    asked = {"CommandId": COMMAND, "InstanceId": "i-0123456789abcdef0"}
    with scripted() as wire:
        wire.answer("ssm", "send_command", SENT, {"Command": {"CommandId": COMMAND}})
        wire.refuse("ssm", "get_command_invocation", asked, "InvocationDoesNotExist")
        wire.answer("ssm", "get_command_invocation", asked, {"Status": "InProgress"})
        told = {"Status": "Failed", "ResponseCode": 3, "StandardOutputContent": "out", "StandardErrorContent": "err"}
        wire.answer("ssm", "get_command_invocation", asked, told)
        beats: list[int] = []
        given = ("i-0123456789abcdef0", "true\nexit 3\n")
        found = run_command.run(wire.aws, SystemClock(), *given, heartbeat=lambda: beats.append(1))
    assert found == run_command.CommandResult(3, "out", "err", "Failed")
    assert len(beats) == 3, "each time it looks"


def test_an_instance_that_ssm_does_not_manage_is_none() -> None:
    with scripted() as wire:
        wire.refuse("ssm", "send_command", SENT, "InvalidInstanceId")
        assert run_command.run(wire.aws, SystemClock(), "i-0123456789abcdef0", "true\nexit 3\n") is None


LISTENER = "arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:listener/app/guestbook-alb/1/2"


def test_weights_are_shares_of_the_listeners_forward_action_without_stickiness() -> None:
    forward = {
        "TargetGroups": [{"TargetGroupArn": "arn:own", "Weight": 90}, {"TargetGroupArn": "arn:trial", "Weight": 10}],
        "TargetGroupStickinessConfig": {"Enabled": False},
    }
    with scripted() as wire:
        asked = {"ListenerArn": LISTENER, "DefaultActions": [{"Type": "forward", "ForwardConfig": forward}]}
        wire.answer("elbv2", "modify_listener", asked, {})
        load_balancers.set_weights(wire.aws, LISTENER, {"arn:own": 90, "arn:trial": 10})
        alone = {"ListenerArn": LISTENER, "DefaultActions": [{"Type": "forward", "TargetGroupArn": "arn:own"}]}
        wire.answer("elbv2", "modify_listener", alone, {})
        load_balancers.set_weights(wire.aws, LISTENER, {"arn:own": 1})


def test_the_shares_of_a_balancer_as_aws_describes_them() -> None:
    groups = [{"TargetGroupArn": "arn:own", "Weight": 50}, {"TargetGroupArn": "arn:trial", "Weight": 0}]
    actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
    away = [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"}}]
    told = [{"Port": 443, "DefaultActions": actions}, {"Port": 80, "DefaultActions": away}]
    with scripted() as wire:
        wire.answer("elbv2", "describe_listeners", {"LoadBalancerArn": "arn:alb"}, {"Listeners": told})
        assert load_balancers.get_weights(wire.aws, "arn:alb") == {"arn:own": 50, "arn:trial": 0}


def test_alarms_that_go_off_are_named_and_none_are_not_asked_for() -> None:
    asked = {"AlarmNames": ["5xx", "slow"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "StateValue": "ALARM"}
    told = {"MetricAlarms": [{"AlarmName": "slow"}], "CompositeAlarms": []}
    with scripted() as wire:
        wire.answer("cloudwatch", "describe_alarms", asked, told)
        assert cloudwatch.list_firing_alarms(wire.aws, ["5xx", "slow"]) == ["slow"]
        assert cloudwatch.list_firing_alarms(wire.aws, []) == []
