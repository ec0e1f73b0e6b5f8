"""EventBridge Scheduler schedules and CodeBuild projects.

Sources: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html and
https://docs.aws.amazon.com/codebuild/latest/APIReference/API_CreateProject.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code, message, retry, suppress
from goldenami.aws.session import AwsSession
from goldenami.tools.clock import Clock


def get_project(aws: AwsSession, name: str) -> Mapping[str, Any] | None:
    """Return a CodeBuild project, or None if it does not exist."""
    projects = aws.client("codebuild").batch_get_projects(names=[name])["projects"]
    return projects[0] if projects else None


def put_project(aws: AwsSession, clock: Clock, name: str, desired: Mapping[str, Any], *, exists: bool) -> None:
    """Create a CodeBuild project, or update the existing one."""
    client = aws.client("codebuild")
    call: Callable[..., Any] = client.update_project if exists else client.create_project
    retry(clock, lambda: call(name=name, **desired), _is_role_unknown, timeout=60, every=5)


def delete_project(aws: AwsSession, name: str) -> bool:
    """Delete a CodeBuild project; return False if it does not exist."""
    if get_project(aws, name) is None:
        return False
    aws.client("codebuild").delete_project(name=name)
    return True


def get_schedule(aws: AwsSession, name: str) -> Mapping[str, Any] | None:
    """Return a schedule, or None if it does not exist."""
    with suppress("ResourceNotFoundException"):
        return aws.client("scheduler").get_schedule(Name=name)
    return None


def put_schedule(aws: AwsSession, clock: Clock, name: str, desired: Mapping[str, Any], *, exists: bool) -> None:
    """Create a schedule, or update the existing one."""
    client = aws.client("scheduler")
    call: Callable[..., Any] = client.update_schedule if exists else client.create_schedule
    retry(clock, lambda: call(Name=name, **desired), _is_role_unknown, timeout=60, every=5)


def delete_schedule(aws: AwsSession, name: str) -> bool:
    """Delete a schedule; return False if it does not exist."""
    with suppress("ResourceNotFoundException"):
        aws.client("scheduler").delete_schedule(Name=name)
        return True
    return False


def _is_role_unknown(error: ClientError) -> bool:
    """Return True if a service does not know a new role yet, for some seconds after its creation.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html (eventual consistency)
    """
    return code(error) in ("ValidationException", "InvalidInputException") and "role" in message(error).lower()
