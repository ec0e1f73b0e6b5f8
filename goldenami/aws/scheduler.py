"""EventBridge Scheduler's schedules and CodeBuild's projects.

Sources: https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html and
https://docs.aws.amazon.com/codebuild/latest/APIReference/API_CreateProject.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.tools.clock import Clock, poll


def project(aws: AwsSession, name: str) -> Mapping[str, Any] | None:
    """A CodeBuild project, or None."""
    found = aws.client("codebuild").batch_get_projects(names=[name])["projects"]
    return found[0] if found else None


def put_project(aws: AwsSession, clock: Clock, name: str, wanted: Mapping[str, Any], *, there: bool) -> None:
    """Make the project, or correct the one that is there."""
    client = aws.client("codebuild")
    call: Callable[..., Any] = client.update_project if there else client.create_project
    _retry_until_role_exists(clock, lambda: call(name=name, **wanted))


def remove_project(aws: AwsSession, name: str) -> bool:
    """Delete the project; False when there is none."""
    if project(aws, name) is None:
        return False
    aws.client("codebuild").delete_project(name=name)
    return True


def schedule(aws: AwsSession, name: str) -> Mapping[str, Any] | None:
    """A schedule, or None."""
    try:
        return aws.client("scheduler").get_schedule(Name=name)
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise
        return None


def put_schedule(aws: AwsSession, clock: Clock, name: str, wanted: Mapping[str, Any], *, there: bool) -> None:
    """Make the schedule, or correct the one that is there."""
    client = aws.client("scheduler")
    call: Callable[..., Any] = client.update_schedule if there else client.create_schedule
    _retry_until_role_exists(clock, lambda: call(Name=name, **wanted))


def remove_schedule(aws: AwsSession, name: str) -> bool:
    """Delete the schedule; False when there is none."""
    try:
        aws.client("scheduler").delete_schedule(Name=name)
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise
        return False
    return True


def _retry_until_role_exists(clock: Clock, call: Callable[[], Any]) -> None:
    """Try again while IAM has not told the service of a new role: that takes some seconds.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html (eventual consistency)
    """
    last: ClientError | None = None
    for _ in poll(clock, timeout=60, every=5):
        try:
            call()
        except ClientError as error:
            told = error.response.get("Error", {}).get("Message", "").lower()
            if code(error) not in ("ValidationException", "InvalidInputException") or "role" not in told:
                raise
            last = error
        else:
            return
    assert last is not None
    raise last
