"""The role of the machines that bake and try an image: it may read the application's parameters, nothing else.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.iam.instance_role import builder_policy

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def ensure_instance_profile(aws: AwsSession, name: str, parameters: Iterable[str]) -> str:
    """An instance profile and role of this name with just that policy; made or corrected, never doubled.

    Returns:
        The instance profile's name.
    """
    account = aws.client("sts").get_caller_identity()["Account"]
    why = "goldenami: machines that bake and try images read the application's parameters"
    return ensure(aws, name, builder_policy(aws.region, account, parameters), why)


def ensure(aws: AwsSession, name: str, wanted: Mapping[str, Any], why: str) -> str:
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


def remove(aws: AwsSession, name: str) -> bool:
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


def exists(aws: AwsSession, name: str) -> bool:
    """Whether there is an instance profile of this name."""
    try:
        aws.client("iam").get_instance_profile(InstanceProfileName=name)
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return False
    return True


def _drop_policy(aws: AwsSession, role: str) -> None:
    """Take back what an earlier recipe's parameters allowed."""
    try:
        aws.client("iam").delete_role_policy(RoleName=role, PolicyName="parameters")
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise


_POLICY = "goldenami"


def get_service_role(aws: AwsSession, name: str) -> dict[str, Any] | None:
    """Whom a role trusts, and its policy; None when there is no such role."""
    iam = aws.client("iam")
    try:
        role = iam.get_role(RoleName=name)["Role"]
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return None
    try:
        policy: Any = iam.get_role_policy(RoleName=name, PolicyName=_POLICY)["PolicyDocument"]
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        policy = None
    return {"trust": _trust_policy(role.get("AssumeRolePolicyDocument")), "policy": _trust_policy(policy)}


def put_service_role(aws: AwsSession, name: str, wanted: Mapping[str, Any]) -> None:
    """Make the role, or correct it."""
    iam = aws.client("iam")
    trust = json.dumps(wanted["trust"])
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, Description=wanted["why"])
    except ClientError as error:
        if code(error) != "EntityAlreadyExists":
            raise
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
    policy = json.dumps(wanted["policy"], separators=(",", ":"))
    iam.put_role_policy(RoleName=name, PolicyName=_POLICY, PolicyDocument=policy)


def remove_service_role(aws: AwsSession, name: str) -> bool:
    """Delete the role with its policy; False when there is none."""
    iam = aws.client("iam")
    try:
        iam.delete_role_policy(RoleName=name, PolicyName=_POLICY)
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
    try:
        iam.delete_role(RoleName=name)
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return False
    return True


def _trust_policy(found: Any) -> Any:
    return json.loads(found) if isinstance(found, str) else found
