"""Instances and security groups over the wire, with EC2's habits: late profiles, held groups, half-known ids."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError

from goldenami.aws import instances, security_groups, vpc
from goldenami.aws.instances import Launch
from goldenami.aws.security_groups import IngressRule
from goldenami.errors import AwsError
from tests.support.aws_stubs import scripted
from tests.support.clock import ScriptedClock

TAGS = [{"Key": "goldenami:run", "Value": "run1"}]
WANTED = Launch(
    image="ami-1",
    type="t3.micro",
    user_data="#!/bin/bash\n",
    security_groups=["sg-1"],
    tags={"goldenami:run": "run1"},
    token="run1-verify",
    subnet="subnet-1",
    profile="web-bake",
)
REQUEST = {
    "ImageId": "ami-1",
    "InstanceType": "t3.micro",
    "MinCount": 1,
    "MaxCount": 1,
    "ClientToken": "run1-verify",
    "UserData": "#!/bin/bash\n",
    "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
    "TagSpecifications": [{"ResourceType": kind, "Tags": TAGS} for kind in ("instance", "volume", "network-interface")],
    "SecurityGroupIds": ["sg-1"],
    "InstanceInitiatedShutdownBehavior": "terminate",
    "SubnetId": "subnet-1",
    "IamInstanceProfile": {"Name": "web-bake"},
}
ONE = {"InstanceIds": ["i-1"]}
GROUP = {"GroupId": "sg-1"}


def machine(state: str = "running", **facts: Any) -> dict[str, Any]:
    return {"InstanceId": "i-1", "State": {"Name": state}, "ImageId": "ami-1", **facts}


def listed(*found: dict[str, Any]) -> dict[str, Any]:
    return {"Reservations": [{"Instances": [one]} for one in found]}


def test_a_launch_asks_for_exactly_this() -> None:
    with scripted() as wire:
        wire.answer("ec2", "run_instances", REQUEST, {"Instances": [machine("pending", Tags=TAGS)]})
        found = instances.launch(wire.aws, ScriptedClock(), WANTED)
    assert (found.id, found.state, found.image, found.address) == ("i-1", "pending", "ami-1", "")
    assert found.tags == {"goldenami:run": "run1"}


def test_a_launch_without_subnet_and_profile_names_neither() -> None:
    plain = Launch("ami-1", "t3.micro", "", ["sg-1"], {"goldenami:run": "run1"}, "token")
    expected = {k: v for k, v in REQUEST.items() if k not in ("SubnetId", "IamInstanceProfile")}
    with scripted() as wire:
        expected |= {"ClientToken": "token", "UserData": ""}
        wire.answer("ec2", "run_instances", expected, {"Instances": [machine("pending")]})
        instances.launch(wire.aws, ScriptedClock(), plain)


# What RunInstances says of an instance profile that was made a moment ago, word for word:
# https://github.com/hashicorp/terraform/issues/15341
UNKNOWN_PROFILE = "Value (web-bake) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"


def test_a_new_instance_profile_is_waited_for() -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        for _ in range(3):
            wire.refuse("ec2", "run_instances", REQUEST, "InvalidParameterValue", UNKNOWN_PROFILE)
        wire.answer("ec2", "run_instances", REQUEST, {"Instances": [machine("pending")]})
        assert instances.launch(wire.aws, clock, WANTED).id == "i-1"
    assert clock.sleeps == [0.625, 1.25, 2.5]


def test_a_profile_that_stays_unknown_is_told_in_aws_s_words_after_a_minute() -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        for _ in range(15):
            wire.refuse("ec2", "run_instances", REQUEST, "InvalidParameterValue", UNKNOWN_PROFILE)
        with pytest.raises(ClientError, match="Invalid IAM Instance Profile name"):
            instances.launch(wire.aws, clock, WANTED)
    assert clock.elapsed == 59.375


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidParameterValue", "Value (x) for parameter instanceType is invalid."),
        ("InsufficientInstanceCapacity", "no"),
        ("UnauthorizedOperation", "may not pass the profile"),
    ],
)
def test_other_refusals_of_a_launch_come_at_once(code: str, message: str) -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        wire.refuse("ec2", "run_instances", REQUEST, code, message)
        with pytest.raises(ClientError, match=code):
            instances.launch(wire.aws, clock, WANTED)
    assert clock.sleeps == []


def test_an_instance_runs_when_it_has_an_address() -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        # RunInstances has answered, DescribeInstances does not know it yet:
        # https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
        wire.refuse("ec2", "describe_instances", ONE, "InvalidInstanceID.NotFound")
        wire.answer("ec2", "describe_instances", ONE, {"Reservations": []})
        wire.answer("ec2", "describe_instances", ONE, listed(machine("pending")))
        wire.answer("ec2", "describe_instances", ONE, listed(machine("running")))
        running = machine("running", PublicIpAddress="203.0.113.7", PrivateIpAddress="10.0.0.7")
        wire.answer("ec2", "describe_instances", ONE, listed(running))
        assert instances.wait_running(wire.aws, clock, "i-1").address == "203.0.113.7"
    assert clock.sleeps == [0.25, 0.5, 1, 2]


def test_an_instance_without_a_public_address_is_reached_by_its_private_one() -> None:
    with scripted() as wire:
        wire.answer("ec2", "describe_instances", ONE, listed(machine(PrivateIpAddress="10.0.0.7")))
        assert instances.wait_running(wire.aws, ScriptedClock(), "i-1").address == "10.0.0.7"


def test_an_instance_that_ends_instead_says_why() -> None:
    reason = {"Code": "Client.VolumeLimitExceeded", "Message": "Client.VolumeLimitExceeded: Volume limit exceeded"}
    with scripted() as wire:
        wire.answer("ec2", "describe_instances", ONE, listed(machine("terminated", StateReason=reason)))
        with pytest.raises(AwsError, match=r"i-1 did not start: terminated .*Volume limit"):
            instances.wait_running(wire.aws, ScriptedClock(), "i-1")


def test_an_instance_that_never_shows_up_is_given_up() -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        for _ in range(5):
            wire.refuse("ec2", "describe_instances", ONE, "InvalidInstanceID.NotFound")
        with pytest.raises(AwsError, match="did not start: not found"):
            instances.wait_running(wire.aws, clock, "i-1", timeout=4)


LATEST = {"InstanceId": "i-1", "Latest": True}


def encoded(text: str) -> dict[str, str]:
    return {"InstanceId": "i-1", "Output": base64.b64encode(text.encode()).decode()}


def test_the_console_is_read_as_text() -> None:
    with scripted() as wire:
        wire.answer("ec2", "get_console_output", LATEST, encoded("[  OK  ] Started 서비스\r\nlogin: "))
        assert instances.console_output(wire.aws, "i-1") == "[  OK  ] Started 서비스\r\nlogin: "
        wire.answer("ec2", "get_console_output", LATEST, {"InstanceId": "i-1"})
        assert instances.console_output(wire.aws, "i-1") == ""


def test_where_the_latest_console_is_refused_the_kept_one_is_taken() -> None:
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html: Latest needs a Nitro instance.
    with scripted() as wire:
        wire.refuse("ec2", "get_console_output", LATEST, "UnsupportedOperation")
        wire.answer("ec2", "get_console_output", {"InstanceId": "i-1"}, encoded("kept\n"))
        assert instances.console_output(wire.aws, "i-1") == "kept\n"


def test_an_ended_instance_is_watched_until_it_is_gone() -> None:
    clock = ScriptedClock()
    with scripted() as wire:
        wire.answer("ec2", "terminate_instances", ONE, {})
        wire.answer("ec2", "describe_instances", ONE, listed(machine("shutting-down")))
        wire.answer("ec2", "describe_instances", ONE, listed(machine("terminated")))
        instances.terminate(wire.aws, clock, "i-1")
    assert clock.sleeps == [0.25]


def test_ending_what_is_gone_already_is_fine() -> None:
    with scripted() as wire:
        wire.refuse("ec2", "terminate_instances", ONE, "InvalidInstanceID.NotFound")
        instances.terminate(wire.aws, ScriptedClock(), "i-1")
        wire.answer("ec2", "terminate_instances", ONE, {})
        wire.refuse("ec2", "describe_instances", ONE, "InvalidInstanceID.NotFound")
        instances.terminate(wire.aws, ScriptedClock(), "i-1")


def test_an_instance_that_does_not_end_is_told() -> None:
    with scripted() as wire:
        wire.answer("ec2", "terminate_instances", ONE, {})
        for _ in range(5):
            wire.answer("ec2", "describe_instances", ONE, listed(machine("shutting-down")))
        with pytest.raises(AwsError, match="i-1 is still shutting-down after 4 s"):
            instances.terminate(wire.aws, ScriptedClock(), "i-1", timeout=4)


def test_the_vpc_is_the_subnet_s_or_the_default_one() -> None:
    default = {"Filters": [{"Name": "is-default", "Values": ["true"]}]}
    with scripted() as wire:
        wire.answer("ec2", "describe_subnets", {"SubnetIds": ["subnet-1"]}, {"Subnets": [{"VpcId": "vpc-s"}]})
        assert vpc.subnet_vpc(wire.aws, "subnet-1") == "vpc-s"
        wire.answer("ec2", "describe_vpcs", default, {"Vpcs": [{"VpcId": "vpc-d"}]})
        assert vpc.subnet_vpc(wire.aws, None) == "vpc-d"
        wire.answer("ec2", "describe_vpcs", default, {"Vpcs": []})
        with pytest.raises(AwsError, match="ap-northeast-2 has no default VPC"):
            vpc.subnet_vpc(wire.aws, None)


CREATE = {
    "GroupName": "goldenami-run1-verify",
    "Description": "goldenami goldenami-run1-verify",
    "VpcId": "vpc-1",
    "TagSpecifications": [{"ResourceType": "security-group", "Tags": TAGS}],
}
ALLOW: dict[str, Any] = {
    "GroupId": "sg-1",
    "IpPermissions": [
        {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "Ipv6Ranges": [{"CidrIpv6": "2001:db8::1/128"}]},
        {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "203.0.113.7/32"}]},
    ],
}
RULES = [IngressRule(8080, "203.0.113.7/32"), IngressRule(8080, "2001:db8::1/128")]
NAMED = {
    "Filters": [{"Name": "group-name", "Values": ["goldenami-run1-verify"]}, {"Name": "vpc-id", "Values": ["vpc-1"]}]
}


def ensure(aws: Any) -> str:
    tags = {"goldenami:run": "run1"}
    return security_groups.ensure(aws, ScriptedClock(), "goldenami-run1-verify", "vpc-1", RULES, tags)


def test_a_security_group_is_born_with_its_tags() -> None:
    with scripted() as wire:
        wire.answer("ec2", "create_security_group", CREATE, GROUP)
        wire.answer("ec2", "authorize_security_group_ingress", ALLOW, {})
        assert ensure(wire.aws) == "sg-1"


def test_a_security_group_that_a_killed_run_made_is_found_and_completed() -> None:
    with scripted() as wire:
        wire.refuse("ec2", "create_security_group", CREATE, "InvalidGroup.Duplicate")
        wire.answer("ec2", "describe_security_groups", NAMED, {"SecurityGroups": [GROUP]})
        wire.refuse("ec2", "authorize_security_group_ingress", ALLOW, "InvalidPermission.Duplicate")
        assert ensure(wire.aws) == "sg-1"


def test_a_security_group_allows_exactly_the_rules_and_no_others() -> None:
    other = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": "sg-2"}]}
    group = {**GROUP, "IpPermissions": [ALLOW["IpPermissions"][0], other]}
    with scripted() as wire:
        wire.refuse("ec2", "create_security_group", CREATE, "InvalidGroup.Duplicate")
        wire.answer("ec2", "describe_security_groups", NAMED, {"SecurityGroups": [group]})
        missing = {"GroupId": "sg-1", "IpPermissions": [ALLOW["IpPermissions"][1]]}
        wire.refuse("ec2", "authorize_security_group_ingress", missing, "InvalidGroup.NotFound")
        wire.answer("ec2", "authorize_security_group_ingress", missing, {})
        wire.answer("ec2", "revoke_security_group_ingress", {"GroupId": "sg-1", "IpPermissions": [other]}, {})
        assert ensure(wire.aws) == "sg-1"


def test_a_group_that_an_ending_instance_still_holds_is_tried_again() -> None:
    # DependencyViolation, until the network interface of the terminated instance is gone:
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSecurityGroup.html
    clock = ScriptedClock()
    with scripted() as wire:
        wire.refuse("ec2", "delete_security_group", GROUP, "DependencyViolation")
        wire.refuse("ec2", "delete_security_group", GROUP, "DependencyViolation")
        wire.answer("ec2", "delete_security_group", GROUP, {})
        security_groups.delete(wire.aws, clock, "sg-1")
    assert clock.sleeps == [0.375, 0.75]


def test_a_group_that_is_gone_is_fine_and_one_that_stays_held_is_told() -> None:
    with scripted() as wire:
        wire.refuse("ec2", "delete_security_group", GROUP, "InvalidGroup.NotFound")
        security_groups.delete(wire.aws, ScriptedClock(), "sg-1")
        for _ in range(5):
            wire.refuse("ec2", "delete_security_group", GROUP, "DependencyViolation")
        with pytest.raises(ClientError, match="DependencyViolation"):
            security_groups.delete(wire.aws, ScriptedClock(), "sg-1", timeout=6)
