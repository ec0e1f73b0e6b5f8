"""The policies of instance roles: of the fleet, and of the builders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from goldenami.iam.statements import USES_KEY, key_arn

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
    found = builder_policy(region, account, parameters)
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
        found["Statement"] += _attach_volume(region, account, name, key)
    if run_command:
        found["Statement"].append({"Effect": "Allow", "Action": _AGENT, "Resource": "*"})
    return found


def _attach_volume(region: str, account: str, name: str, key: str) -> list[dict[str, Any]]:
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


def builder_policy(region: str, account: str, parameters: Iterable[str]) -> dict[str, Any]:
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
