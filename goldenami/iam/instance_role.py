"""IAM policies of the instance roles of the fleet and of builders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from goldenami.iam.statements import USES_KEY, key_arn

# Actions of the SSM agent; none can be limited to a resource.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-instance-permissions.html
_AGENT = [
    *("ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel"),
    *("ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"),
]

# IAM treats the parts of an upload as objects; an incomplete upload is aborted.
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
    """Return the policy of the fleet's instances: the application's parameters, and its own logs in `/goldenami/NAME`.

    Args:
        run_command: Allow what the SSM agent needs.
        bucket: Bucket in which it may write and read its own backups; empty for none.
        volume: Allow it to attach the service's data volume.
        key: KMS key of the volume; empty for the account's default key for EBS, which needs no permission.
    """
    document = builder_policy(region, account, parameters)
    logs = f"arn:aws:logs:{region}:{account}:log-group:/goldenami/{name}"
    document["Statement"].append(
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": [logs, f"{logs}:*"],
        }
    )
    if bucket:
        backups = f"arn:aws:s3:::{bucket}/{name}/backups/*"
        document["Statement"].append({"Effect": "Allow", "Action": _BACKUPS, "Resource": backups})
    if volume:
        document["Statement"] += _attach_volume(region, account, name, key)
    if run_command:
        document["Statement"].append({"Effect": "Allow", "Action": _AGENT, "Resource": "*"})
    return document


def _attach_volume(region: str, account: str, name: str, key: str) -> list[dict[str, Any]]:
    """Return statements that allow only to find the service's volume and attach it to an instance of its fleet.

    Describe actions cannot be limited to resources. EBS uses a customer managed key on behalf of the caller.
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
    """Return the policy of a builder: read these parameters.

    A SecureString under the account's default key `aws/ssm` needs no KMS permission: that key's policy allows every
    principal that may read the parameter.
    Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html
    """
    names = sorted(parameters)
    statement = {
        "Effect": "Allow",
        "Action": ["ssm:GetParameter", "ssm:GetParameters"],
        "Resource": [f"arn:aws:ssm:{region}:{account}:parameter{name}" for name in names],
    }
    # IAM rejects a statement without resources; an application without parameters needs no permission.
    return {"Version": "2012-10-17", "Statement": [statement] if names else []}
