"""The monthly rebuild on AWS, as documents: EventBridge Scheduler starts a CodeBuild project that runs the same task.

Sources: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html (CodeBuild StartBuild),
https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html,
https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from goldenami.errors import UsageError
from goldenami.iam.statements import PolicyScope, Statement, allow
from goldenami.iam.task_policies import policy
from goldenami.model.names import ScheduleNames

ScheduleKind = Literal["build role", "project", "scheduler role", "schedule"]
# What CodeBuild calls the places that it can check out from.
_CODE_HOSTS = {"github.com": "GITHUB", "gitlab.com": "GITLAB", "bitbucket.org": "BITBUCKET"}
IMAGE = "aws/codebuild/standard:7.0"


@dataclass(frozen=True)
class ScheduleResource:
    """A thing that the schedule needs: what it is called, and how it should be."""

    kind: ScheduleKind
    name: str
    desired: Mapping[str, Any]


def schedule_resources(place: PolicyScope, buildspec: str) -> tuple[ScheduleResource, ...]:
    """Every part, in the order in which they can be made.

    Raises:
        UsageError: The recipe names no repository that CodeBuild can check out.
    """
    names = ScheduleNames(place.recipe.image.name)
    project = place.arn("codebuild", f"project/{names.project}")
    group = place.arn("scheduler", "schedule-group/default")
    build_role = {
        "trust": _trust(place, "codebuild.amazonaws.com", project),
        "policy": _build_policy(place, names),
        "why": f"goldenami: the monthly rebuild of {names.image}",
    }
    start = {"Version": "2012-10-17", "Statement": [allow("Start", ["codebuild:StartBuild"], project)]}
    scheduler_role = {
        "trust": _trust(place, "scheduler.amazonaws.com", group),
        "policy": start,
        "why": f"goldenami: starts the monthly rebuild of {names.image}",
    }
    return (
        ScheduleResource("build role", names.build_role, build_role),
        ScheduleResource("project", names.project, _project(place, names, buildspec)),
        ScheduleResource("scheduler role", names.scheduler_role, scheduler_role),
        ScheduleResource("schedule", names.project, _schedule(place, names, project)),
    )


def _trust(place: PolicyScope, service: str, source: str) -> dict[str, Any]:
    # Without the conditions, somebody else's schedule or project could make the service use this role (confused deputy).
    condition = {"StringEquals": {"aws:SourceAccount": place.account}, "ArnLike": {"aws:SourceArn": source}}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _build_policy(place: PolicyScope, names: ScheduleNames) -> dict[str, Any]:
    found = policy("rebuild", place)
    group = place.arn("logs", f"log-group:{names.logs}")
    verbs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    more = [allow("BuildLogs", verbs, [group, f"{group}:*"])]
    url = urlsplit(place.recipe.schedule.repository)
    if _source_type(place) == "CODECOMMIT":
        repository = url.path.rpartition("/")[2]
        more.append(allow("CheckOut", ["codecommit:GitPull"], place.arn("codecommit", repository)))
    return {**found, "Statement": compact([*found["Statement"], *more])}


def compact(statements: Sequence[Statement]) -> list[Statement]:
    """The same permissions in fewer words: what is allowed on the same resources under the same conditions is one statement.

    A role's inline policies have room for 10,240 characters in all.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    found: dict[str, Statement] = {}
    for one in statements:
        key = json.dumps([one["Resource"], one.get("Condition")], sort_keys=True)
        same = found.setdefault(key, {**one, "Action": []})
        same["Action"] = sorted({*same["Action"], *one["Action"]})
    return list(found.values())


def _project(place: PolicyScope, names: ScheduleNames, buildspec: str) -> dict[str, Any]:
    role = place.arn("iam", f"role/{names.build_role}", region=False)
    return {
        "description": f"goldenami: the monthly rebuild of {names.image}",
        "source": {
            "type": _source_type(place),
            "location": place.recipe.schedule.repository,
            "buildspec": buildspec,
            "gitCloneDepth": 1,
        },
        "sourceVersion": place.recipe.schedule.ref,
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {"type": "LINUX_CONTAINER", "image": IMAGE, "computeType": "BUILD_GENERAL1_SMALL"},
        "serviceRole": role,
        "timeoutInMinutes": 180,
        "queuedTimeoutInMinutes": 60,
        "concurrentBuildLimit": 1,
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": names.logs}},
    }


def _schedule(place: PolicyScope, names: ScheduleNames, project: str) -> dict[str, Any]:
    when = place.recipe.schedule
    return {
        "Description": f"goldenami: rebuilds {names.image} every month",
        "ScheduleExpression": when.cron,
        "ScheduleExpressionTimezone": when.timezone,
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 60},
        "State": "ENABLED",
        "Target": {
            "Arn": project,
            "RoleArn": place.arn("iam", f"role/{names.scheduler_role}", region=False),
            "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3},
        },
    }


def _source_type(place: PolicyScope) -> str:
    host = urlsplit(place.recipe.schedule.repository).hostname or ""
    if host.startswith("git-codecommit."):
        return "CODECOMMIT"
    if host not in _CODE_HOSTS:
        raise UsageError(
            f"CodeBuild cannot check out '{place.recipe.schedule.repository}'"
            " ([schedule] repository: GitHub, GitLab, Bitbucket or CodeCommit, by https)",
            state="Nothing was changed.",
            next=f"edit {place.recipe.path}, or ./invoke schedule.install on a machine of yours",
        )
    return _CODE_HOSTS[host]
