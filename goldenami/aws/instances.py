"""Instances: launch one to try an image, watch it, read its console, end it.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping, tag_specification
from goldenami.errors import AwsError
from goldenami.model.resources import Instance
from goldenami.tools.clock import Clock, poll

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef


@dataclass(frozen=True)
class Launch:
    """What to launch; everything that RunInstances needs and nothing else."""

    image: str
    type: str
    user_data: str
    security_groups: Sequence[str]
    tags: Mapping[str, str]
    token: str
    subnet: str | None = None
    profile: str | None = None


def launch(aws: AwsSession, clock: Clock, request: Launch) -> Instance:
    """Launch one instance that requires IMDSv2; asked again with the same token, the same instance is returned.

    A new instance profile is not known to EC2 for some seconds, which RunInstances reports as an invalid value; it is
    asked again for a minute.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency
    """
    request: dict[str, Any] = {
        "ImageId": request.image,
        "InstanceType": request.type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": request.token,
        "UserData": request.user_data,
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpEndpoint": "enabled",
            "HttpPutResponseHopLimit": 1,
        },
        "TagSpecifications": [
            tag_specification(kind, request.tags) for kind in ("instance", "volume", "network-interface")
        ],
        "SecurityGroupIds": list(request.security_groups),
        "InstanceInitiatedShutdownBehavior": "terminate",
    }
    if request.subnet:
        request["SubnetId"] = request.subnet
    if request.profile:
        request["IamInstanceProfile"] = {"Name": request.profile}
    refused: ClientError | None = None
    for _ in poll(clock, timeout=60, every=5):
        try:
            answer = aws.client("ec2").run_instances(**request)
            return _instance(answer["Instances"][0])
        except ClientError as error:
            if code(error) != "InvalidParameterValue" or "profile" not in str(error).lower():
                raise
            refused = error
    assert refused is not None
    raise refused


def get(aws: AwsSession, instance: str) -> Instance | None:
    """An instance by its id, or None while (or when) EC2 does not know it."""
    try:
        reservations = aws.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"]
    except ClientError as error:
        if code(error) == "InvalidInstanceID.NotFound":
            return None
        raise
    found = [i for r in reservations for i in r["Instances"]]
    return _instance(found[0]) if found else None


def is_terminated(aws: AwsSession, instance: str) -> bool:
    """Whether an instance has ended for good, or is about to."""
    found = get(aws, instance)
    return found is None or found.state in ("shutting-down", "terminated")


def list_tagged(aws: AwsSession, key: str, value: str) -> list[Instance]:
    """Every instance with this tag that is not terminated."""
    pages = (
        aws.client("ec2")
        .get_paginator("describe_instances")
        .paginate(Filters=[{"Name": f"tag:{key}", "Values": [value]}])
    )
    found = [_instance(i) for page in pages for r in page["Reservations"] for i in r["Instances"]]
    return [one for one in found if one.state not in ("terminated", "shutting-down")]


def find_by_client_token(aws: AwsSession, token: str) -> list[Instance]:
    """Every instance that was launched with this client token and is not terminated."""
    found = aws.client("ec2").describe_instances(Filters=[{"Name": "client-token", "Values": [token]}])
    there = [_instance(i) for r in found["Reservations"] for i in r["Instances"]]
    return [one for one in there if one.state not in ("terminated", "shutting-down")]


def launch_from_template(aws: AwsSession, template: str, version: int, subnet: str, token: str) -> Instance:
    """Launch one instance from a numbered version of a launch template; asked again with the same token, the same one."""
    answer = aws.client("ec2").run_instances(
        LaunchTemplate={"LaunchTemplateId": template, "Version": str(version)},
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        ClientToken=token,
    )
    return _instance(answer["Instances"][0])


def wait_running(aws: AwsSession, clock: Clock, instance: str, timeout: float = 600) -> Instance:
    """Wait until an instance runs and has an address.

    Raises:
        AwsError: It ended instead, or the time (seconds) is up.
    """
    seen = "never seen"
    for _ in poll(clock, timeout=timeout, every=2):
        now = get(aws, instance)
        if now is None:
            continue
        if now.state == "running" and now.address:
            return now
        seen = f"{now.state} {now.reason}".strip()
        if now.state not in ("pending", "running"):
            break
    raise AwsError(f"{instance} did not come up ({seen})")


def console_output(aws: AwsSession, instance: str) -> str:
    """What the instance printed on its console, as far as EC2 has it.

    `Latest` needs a Nitro instance; where it is refused, the output that EC2 kept is taken.
    Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html
    """
    ec2 = aws.client("ec2")
    try:
        answer = ec2.get_console_output(InstanceId=instance, Latest=True)
    except ClientError as error:
        if code(error) not in ("UnsupportedOperation", "InvalidParameterCombination"):
            raise
        answer = ec2.get_console_output(InstanceId=instance)
    output = answer.get("Output", "")
    # boto3 decodes the base64 of the wire for this one call; an odd endpoint may not have been decoded.
    return output if "\n" in output or not output else _decoded(output)


def terminate(aws: AwsSession, clock: Clock, instance: str, timeout: float = 300) -> None:
    """Terminate an instance and wait until it is gone; one that is gone already is fine.

    Raises:
        AwsError: It is still there when the time (seconds) is up.
    """
    try:
        aws.client("ec2").terminate_instances(InstanceIds=[instance])
    except ClientError as error:
        if code(error) == "InvalidInstanceID.NotFound":
            return
        raise
    for _ in poll(clock, timeout=timeout, every=2):
        now = get(aws, instance)
        if now is None or now.state == "terminated":
            return
    raise AwsError(f"{instance} is still shutting down", next=f"aws ec2 describe-instances --instance-ids {instance}")


def stop(aws: AwsSession, clock: Clock, instance: str, timeout: float = 600) -> None:
    """Stop an instance and wait until it is off; one that has ended is fine.

    Raises:
        AwsError: It still runs when the time (seconds) is up.
    """
    aws.client("ec2").stop_instances(InstanceIds=[instance])
    for _ in poll(clock, timeout=timeout, every=2):
        now = get(aws, instance)
        if now is None or now.state in ("stopped", "terminated"):
            return
    raise AwsError(f"{instance} is still stopping", next=f"aws ec2 describe-instances --instance-ids {instance}")


def _decoded(output: str) -> str:
    try:
        return base64.b64decode(output, validate=True).decode("utf-8", "replace")
    except ValueError:
        return output


def _instance(found: InstanceTypeDef) -> Instance:
    return Instance(
        id=found["InstanceId"],
        state=found["State"]["Name"],
        image=found.get("ImageId", ""),
        address=found.get("PublicIpAddress") or found.get("PrivateIpAddress", ""),
        reason=found.get("StateReason", {}).get("Message", ""),
        tags=mapping(found.get("Tags", [])),
        zone=found.get("Placement", {}).get("AvailabilityZone", ""),
        launched=f"{found['LaunchTime']:%Y-%m-%dT%H:%M:%SZ}" if "LaunchTime" in found else "",
    )
