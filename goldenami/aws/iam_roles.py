"""IAM roles with one inline policy, and the instance profiles of EC2 instances.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession

_POLICY = "goldenami"
_EC2_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def ensure_instance_profile(aws: AwsSession, name: str, policy: Mapping[str, Any], description: str) -> str:
    """Create or update an instance profile and its role, both of this name, with exactly this policy; return the name."""
    iam = aws.client("iam")
    _ensure_role(aws, name, _EC2_TRUST, policy, description)
    with suppress("EntityAlreadyExists"):
        iam.create_instance_profile(InstanceProfileName=name)
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    if not any(role["RoleName"] == name for role in profile["Roles"]):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def delete_instance_profile(aws: AwsSession, name: str) -> bool:
    """Delete the instance profile and role of this name; return False if neither exists."""
    iam = aws.client("iam")
    deleted = False
    with suppress("NoSuchEntity"):
        iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    with suppress("NoSuchEntity"):
        iam.delete_instance_profile(InstanceProfileName=name)
        deleted = True
    return delete_role(aws, name) or deleted


def instance_profile_exists(aws: AwsSession, name: str) -> bool:
    """Return True if an instance profile of this name exists."""
    with suppress("NoSuchEntity"):
        aws.client("iam").get_instance_profile(InstanceProfileName=name)
        return True
    return False


def get_role(aws: AwsSession, name: str) -> dict[str, Any] | None:
    """Return a role's trust policy (`trust`) and inline policy (`policy`), or None if it does not exist."""
    iam = aws.client("iam")
    policy: Any = None
    with suppress("NoSuchEntity"):
        role = iam.get_role(RoleName=name)["Role"]
        with suppress("NoSuchEntity"):
            policy = iam.get_role_policy(RoleName=name, PolicyName=_POLICY)["PolicyDocument"]
        return {"trust": _document(role.get("AssumeRolePolicyDocument")), "policy": _document(policy)}
    return None


def put_role(aws: AwsSession, name: str, desired: Mapping[str, Any]) -> None:
    """Create or update a role from its `trust` policy, inline `policy` and description (`why`)."""
    if not _ensure_role(aws, name, desired["trust"], desired["policy"], desired["why"]):
        aws.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=_text(desired["trust"]))


def delete_role(aws: AwsSession, name: str) -> bool:
    """Delete a role with its policy; return False if it does not exist."""
    _delete_policy(aws, name)
    with suppress("NoSuchEntity"):
        aws.client("iam").delete_role(RoleName=name)
        return True
    return False


def _ensure_role(
    aws: AwsSession, name: str, trust: Mapping[str, Any], policy: Mapping[str, Any], description: str
) -> bool:
    """Create a role, or give the existing one this policy; return True if it was created."""
    iam = aws.client("iam")
    created = False
    with suppress("EntityAlreadyExists"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=_text(trust), Description=description)
        created = True
    if policy["Statement"]:
        iam.put_role_policy(RoleName=name, PolicyName=_POLICY, PolicyDocument=_text(policy))
    else:
        _delete_policy(aws, name)
    return created


def _delete_policy(aws: AwsSession, role: str) -> None:
    with suppress("NoSuchEntity"):
        aws.client("iam").delete_role_policy(RoleName=role, PolicyName=_POLICY)


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))  # IAM limits a policy's length


def _document(policy: Any) -> Any:
    return json.loads(policy) if isinstance(policy, str) else policy
