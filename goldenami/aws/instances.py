"""EC2 instances: launch, find, wait, read the console, stop and terminate.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code, retry, suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping, tag_specification
from goldenami.errors import AwsError
from goldenami.model.resources import Instance
from goldenami.tools.clock import Clock, wait_until

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

_ENDING = ("shutting-down", "terminated")


@dataclass(frozen=True)
class Launch:
    """Request to launch one instance."""

    image: str
    type: str
    user_data: str
    security_groups: Sequence[str]
    tags: Mapping[str, str]
    token: str
    subnet: str | None = None
    profile: str | None = None


def launch(aws: AwsSession, clock: Clock, request: Launch) -> Instance:
    """Launch one instance that requires IMDSv2, or return the one that was launched with the same token.

    EC2 does not know a new instance profile for some seconds, and reports it as an invalid value; the call is repeated for
    a minute.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency
    """
    arguments: dict[str, Any] = {
        "ImageId": request.image,
        "InstanceType": request.type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": request.token,
        "UserData": request.user_data,
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [
            tag_specification(kind, request.tags) for kind in ("instance", "volume", "network-interface")
        ],
        "SecurityGroupIds": list(request.security_groups),
        "InstanceInitiatedShutdownBehavior": "terminate",
    }
    if request.subnet:
        arguments["SubnetId"] = request.subnet
    if request.profile:
        arguments["IamInstanceProfile"] = {"Name": request.profile}
    response = retry(
        clock,
        lambda: aws.client("ec2").run_instances(**arguments),
        lambda error: code(error) == "InvalidParameterValue" and "profile" in str(error).lower(),
        timeout=60,
        every=5,
    )
    return _instance(response["Instances"][0])


def get(aws: AwsSession, instance: str) -> Instance | None:
    """Return an instance by its id, or None if EC2 does not know it (yet, or any more)."""
    with suppress("InvalidInstanceID.NotFound"):
        reservations = aws.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"]
        return next((_instance(i) for r in reservations for i in r["Instances"]), None)
    return None


def is_terminated(aws: AwsSession, instance: str) -> bool:
    """Return True if an instance is terminated, or shutting down to be so."""
    current = get(aws, instance)
    return current is None or current.state in _ENDING


def list_tagged(aws: AwsSession, key: str, value: str) -> list[Instance]:
    """Return every instance with this tag that is not terminated."""
    return _list(aws, f"tag:{key}", value)


def find_by_client_token(aws: AwsSession, token: str) -> list[Instance]:
    """Return every instance that was launched with this client token and is not terminated."""
    return _list(aws, "client-token", token)


def launch_from_template(
    aws: AwsSession, template: str, version: int, subnet: str, token: str, **overrides: Any
) -> Instance:
    """Launch one instance from a launch template version, or return the one launched with the same client token.

    Args:
        overrides: Parameters of RunInstances that replace those of the template.
    """
    response = aws.client("ec2").run_instances(
        LaunchTemplate={"LaunchTemplateId": template, "Version": str(version)},
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        ClientToken=token,
        **overrides,
    )
    return _instance(response["Instances"][0])


def wait_running(aws: AwsSession, clock: Clock, instance: str, timeout: float = 600) -> Instance:
    """Wait until an instance is running and has an address.

    Raises:
        AwsError: The instance was terminated, or is not running after `timeout` seconds.
    """

    def not_running(current: Instance | None) -> AwsError:
        state = f"{current.state} {current.reason}".strip() if current else "not found"
        return AwsError(f"{instance} did not start: {state}")

    current = wait_until(
        clock,
        lambda: get(aws, instance),  # None while EC2 does not know a new instance
        lambda current: current and current.state == "running" and current.address,
        timeout=timeout,
        every=2,
        failed=lambda current: current and current.state not in ("pending", "running"),
        on_timeout=not_running,
    )
    assert current is not None
    return current


def console_output(aws: AwsSession, instance: str) -> str:
    """Return the instance's console output, as far as EC2 has it.

    `Latest` needs a Nitro instance; where EC2 refuses it, the output of the last boot is returned.
    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html
    """
    ec2 = aws.client("ec2")
    try:
        response = ec2.get_console_output(InstanceId=instance, Latest=True)
    except ClientError as error:
        if code(error) not in ("UnsupportedOperation", "InvalidParameterCombination"):
            raise
        response = ec2.get_console_output(InstanceId=instance)
    output = response.get("Output", "")
    # boto3 decodes this field's base64, unless the endpoint's answer is not quite like AWS's.
    return output if "\n" in output or not output else _decode(output)


def terminate(aws: AwsSession, clock: Clock, instance: str, timeout: float = 300) -> None:
    """Terminate an instance and wait until it is terminated; no error if it does not exist.

    Raises:
        AwsError: The instance is not terminated after `timeout` seconds.
    """
    with suppress("InvalidInstanceID.NotFound"):
        aws.client("ec2").terminate_instances(InstanceIds=[instance])
        _wait_for_state(aws, clock, instance, ("terminated",), timeout)


def start(aws: AwsSession, clock: Clock, instance: str) -> Instance:
    """Start a stopped instance and wait until it is running; one that is being stopped is started afterwards."""
    _wait_for_state(aws, clock, instance, ("pending", "running", "stopped", "terminated"), 600)
    aws.client("ec2").start_instances(InstanceIds=[instance])
    return wait_running(aws, clock, instance)


def stop(aws: AwsSession, clock: Clock, instance: str, timeout: float = 600) -> None:
    """Stop an instance and wait until it is stopped; a terminated one is accepted.

    Raises:
        AwsError: The instance is not stopped after `timeout` seconds.
    """
    aws.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for_state(aws, clock, instance, ("stopped", "terminated"), timeout)


def _wait_for_state(aws: AwsSession, clock: Clock, instance: str, states: Sequence[str], timeout: float) -> None:
    wait_until(
        clock,
        lambda: get(aws, instance),
        lambda current: current is None or current.state in states,
        timeout=timeout,
        every=2,
        on_timeout=lambda current: AwsError(
            f"{instance} is still {current.state if current else 'unknown'} after {timeout:.0f} s",
            next=f"aws ec2 describe-instances --instance-ids {instance}",
        ),
    )


def _list(aws: AwsSession, name: str, value: str) -> list[Instance]:
    paginator = aws.client("ec2").get_paginator("describe_instances")
    pages = paginator.paginate(Filters=[{"Name": name, "Values": [value]}])
    instances = [_instance(i) for page in pages for r in page["Reservations"] for i in r["Instances"]]
    return [instance for instance in instances if instance.state not in _ENDING]


def _decode(output: str) -> str:
    try:
        return base64.b64decode(output, validate=True).decode("utf-8", "replace")
    except ValueError:
        return output


def _instance(instance: InstanceTypeDef) -> Instance:
    return Instance(
        id=instance["InstanceId"],
        state=instance["State"]["Name"],
        image=instance.get("ImageId", ""),
        address=instance.get("PublicIpAddress") or instance.get("PrivateIpAddress", ""),
        reason=instance.get("StateReason", {}).get("Message", ""),
        tags=mapping(instance.get("Tags", [])),
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        launched=f"{instance['LaunchTime']:%Y-%m-%dT%H:%M:%SZ}" if "LaunchTime" in instance else "",
        changed=_transition_time(instance.get("StateTransitionReason", "")),
    )


def _transition_time(reason: str) -> str:
    """Return the time in a reason such as `User initiated (2026-11-28 09:30:00 GMT)`, as ISO 8601; empty without one."""
    match = re.search(r"\((\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (?:GMT|UTC)\)", reason)
    return f"{match[1]}T{match[2]}Z" if match else ""
