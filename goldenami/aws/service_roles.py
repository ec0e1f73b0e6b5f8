"""Roles that AWS's services work with (CodeBuild, EventBridge Scheduler), each with one inline policy.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-service.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import Connection

_POLICY = "goldenami"


def get(aws: Connection, name: str) -> dict[str, Any] | None:
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
    return {"trust": _document(role.get("AssumeRolePolicyDocument")), "policy": _document(policy)}


def put(aws: Connection, name: str, wanted: Mapping[str, Any]) -> None:
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


def remove(aws: Connection, name: str) -> bool:
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


def _document(found: Any) -> Any:
    return json.loads(found) if isinstance(found, str) else found
