"""The role of the machines that bake and try an image: it may read the application's parameters, nothing else.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import Connection
from goldenami.iam.statements import USES_KEY, key_arn

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


# What the SSM agent calls; none of it can be narrowed to a resource.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-instance-permissions.html
_AGENT = [
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
]

# Parts of an upload are objects to IAM; one that cannot be made is given up.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuAndPermissions.html
_BACKUPS = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]


def fleet_policy(
    region: str,
    account: str,
    name: str,
    parameters: Iterable[str],
    *,
    run_command: bool,
    bucket: str = "",
    volume: bool = False,
    key: str = "",
) -> dict[str, Any]:
    """The least privilege of an instance that serves: the application's parameters and its own logs.

    Args:
        region: Like `ap-northeast-2`.
        account: Its number.
        name: The image's name; the logs are those of `/goldenami/NAME`.
        parameters: The parameters' names.
        run_command: Let the SSM agent in as well.
        bucket: Where it may write and read its backups, and nobody else's; none when empty.
        volume: Let it take the service's own volume.
        key: The KMS key that encrypts the volume; the account's own for EBS, whose policy lets it in, when empty.
    """
    found = policy(region, account, parameters)
    logs = f"arn:aws:logs:{region}:{account}:log-group:/goldenami/{name}"
    found["Statement"].append(
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": [logs, f"{logs}:*"],
        }
    )
    if bucket:
        backups = f"arn:aws:s3:::{bucket}/{name}/backups/*"
        found["Statement"].append({"Effect": "Allow", "Action": _BACKUPS, "Resource": backups})
    if volume:
        found["Statement"] += _taking(region, account, name, key)
    if run_command:
        found["Statement"].append({"Effect": "Allow", "Action": _AGENT, "Resource": "*"})
    return found


def _taking(region: str, account: str, name: str, key: str) -> list[dict[str, Any]]:
    """Find the service's volume and attach it to an instance of its fleet, and nothing else.

    Describing cannot be narrowed. A customer's key must let EBS use it in the name of whoever attaches.
    Source: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
    """

    def tagged(tag: str) -> dict[str, Any]:
        return {"StringEquals": {f"aws:ResourceTag/goldenami:{tag}": name}}

    parts = f"arn:aws:ec2:{region}:{account}"
    attach = {"Effect": "Allow", "Action": ["ec2:AttachVolume"]}
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["ec2:DescribeInstances", "ec2:DescribeVolumes"], "Resource": "*"},
        {**attach, "Resource": f"{parts}:volume/*", "Condition": tagged("data")},
        {**attach, "Resource": f"{parts}:instance/*", "Condition": tagged("fleet")},
    ]
    if key:
        through = {"StringEquals": {"kms:ViaService": f"ec2.{region}.amazonaws.com"}}
        arn = key_arn(region, account, key)
        statements.append({"Effect": "Allow", "Action": USES_KEY, "Resource": arn, "Condition": through})
    return statements


def policy(region: str, account: str, parameters: Iterable[str]) -> dict[str, Any]:
    """The least privilege that reads these parameters.

    A SecureString under the account's default key `aws/ssm` needs no KMS permission of its own: that key's policy lets
    in whoever may read the parameter.
    Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html
    """
    names = sorted(parameters)
    statement = {
        "Effect": "Allow",
        "Action": ["ssm:GetParameter", "ssm:GetParameters"],
        "Resource": [f"arn:aws:ssm:{region}:{account}:parameter{name}" for name in names],
    }
    # IAM refuses a statement without resources; an application without parameters needs no permission at all.
    return {"Version": "2012-10-17", "Statement": [statement] if names else []}


def ensure_profile(aws: Connection, name: str, parameters: Iterable[str]) -> str:
    """An instance profile and role of this name with just that policy; made or corrected, never doubled.

    Returns:
        The instance profile's name.
    """
    account = aws.client("sts").get_caller_identity()["Account"]
    why = "goldenami: machines that bake and try images read the application's parameters"
    return ensure(aws, name, policy(aws.region, account, parameters), why)


def ensure(aws: Connection, name: str, wanted: Mapping[str, Any], why: str) -> str:
    """An instance profile and role of this name with just this policy; made or corrected, never doubled.

    Returns:
        The instance profile's name.
    """
    iam = aws.client("iam")
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST), Description=why)
    except ClientError as error:
        if code(error) != "EntityAlreadyExists":
            raise
    if wanted["Statement"]:
        iam.put_role_policy(RoleName=name, PolicyName="parameters", PolicyDocument=json.dumps(wanted))
    else:
        _drop_policy(aws, name)
    try:
        iam.create_instance_profile(InstanceProfileName=name)
    except ClientError as error:
        if code(error) != "EntityAlreadyExists":
            raise
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    if not any(role["RoleName"] == name for role in profile["Roles"]):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def remove(aws: Connection, name: str) -> bool:
    """Delete the instance profile and role of this name; False when there is neither."""
    iam = aws.client("iam")
    calls: list[Callable[[], Any]] = [
        lambda: iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name),
        lambda: iam.delete_instance_profile(InstanceProfileName=name),
        lambda: iam.delete_role_policy(RoleName=name, PolicyName="parameters"),
        lambda: iam.delete_role(RoleName=name),
    ]
    done = False
    for call in calls:
        try:
            call()
            done = True
        except ClientError as error:
            if code(error) != "NoSuchEntity":
                raise
    return done


def exists(aws: Connection, name: str) -> bool:
    """Whether there is an instance profile of this name."""
    try:
        aws.client("iam").get_instance_profile(InstanceProfileName=name)
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return False
    return True


def _drop_policy(aws: Connection, role: str) -> None:
    """Take back what an earlier recipe's parameters allowed."""
    try:
        aws.client("iam").delete_role_policy(RoleName=role, PolicyName="parameters")
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise


def caller(aws: Connection) -> tuple[str, str]:
    """Who we are: account id and ARN."""
    identity = aws.client("sts").get_caller_identity()
    return identity["Account"], identity["Arn"]
