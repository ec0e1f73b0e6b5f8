"""The role of the machines that bake and try an image: it may read the application's parameters, nothing else.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import ClientError

from goldenami.walls.aws.connection import Connection
from goldenami.walls.aws.errors import code

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


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
    iam = aws.client("iam")
    account = aws.client("sts").get_caller_identity()["Account"]
    wanted = policy(aws.region, account, parameters)
    try:
        iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(_TRUST),
            Description="goldenami: machines that bake and try images read the application's parameters",
        )
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
