"""Desired state of the schedule's AWS resources: EventBridge Scheduler starts a CodeBuild project, which runs `rebuild`.

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
# CodeBuild's source types.
_SOURCE_TYPES = {"github.com": "GITHUB", "gitlab.com": "GITLAB", "bitbucket.org": "BITBUCKET"}
IMAGE = "aws/codebuild/standard:7.0"


@dataclass(frozen=True)
class ScheduleResource:
    """An AWS resource of the schedule, and its desired configuration."""

    kind: ScheduleKind
    name: str
    desired: Mapping[str, Any]


def schedule_resources(scope: PolicyScope, buildspec: str) -> tuple[ScheduleResource, ...]:
    """Return every resource, in the order of creation.

    Raises:
        UsageError: CodeBuild cannot check out the recipe's repository.
    """
    names = ScheduleNames(scope.recipe.image.name)
    project = scope.arn("codebuild", f"project/{names.project}")
    group = scope.arn("scheduler", "schedule-group/default")
    build_role = {
        "trust": _trust(scope, "codebuild.amazonaws.com", project),
        "policy": _build_policy(scope, names),
        "why": f"goldenami: the monthly rebuild of {names.image}",
    }
    start = {"Version": "2012-10-17", "Statement": [allow("Start", ["codebuild:StartBuild"], project)]}
    scheduler_role = {
        "trust": _trust(scope, "scheduler.amazonaws.com", group),
        "policy": start,
        "why": f"goldenami: starts the monthly rebuild of {names.image}",
    }
    return (
        ScheduleResource("build role", names.build_role, build_role),
        ScheduleResource("project", names.project, _project(scope, names, buildspec)),
        ScheduleResource("scheduler role", names.scheduler_role, scheduler_role),
        ScheduleResource("schedule", names.project, _schedule(scope, names, project)),
    )


def _trust(scope: PolicyScope, service: str, source: str) -> dict[str, Any]:
    # Without the conditions, another account's schedule or project could use this role through the service (confused deputy).
    condition = {"StringEquals": {"aws:SourceAccount": scope.account}, "ArnLike": {"aws:SourceArn": source}}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _build_policy(scope: PolicyScope, names: ScheduleNames) -> dict[str, Any]:
    document = policy("rebuild", scope)
    group = scope.arn("logs", f"log-group:{names.logs}")
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    more = [allow("BuildLogs", actions, [group, f"{group}:*"])]
    url = urlsplit(scope.recipe.schedule.repository)
    if _source_type(scope) == "CODECOMMIT":
        repository = url.path.rpartition("/")[2]
        more.append(allow("CheckOut", ["codecommit:GitPull"], scope.arn("codecommit", repository)))
    return {**document, "Statement": compact([*document["Statement"], *more])}


def compact(statements: Sequence[Statement]) -> list[Statement]:
    """Return the same permissions in fewer characters: one statement per set of resources and conditions.

    The inline policies of a role may have 10,240 characters in total.
    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    """
    merged: dict[str, Statement] = {}
    for statement in statements:
        key = json.dumps([statement["Resource"], statement.get("Condition")], sort_keys=True)
        same = merged.setdefault(key, {**statement, "Action": []})
        same["Action"] = sorted({*same["Action"], *statement["Action"]})
    return list(merged.values())


def _project(scope: PolicyScope, names: ScheduleNames, buildspec: str) -> dict[str, Any]:
    role = scope.arn("iam", f"role/{names.build_role}", region=False)
    return {
        "description": f"goldenami: the monthly rebuild of {names.image}",
        "source": {
            "type": _source_type(scope),
            "location": scope.recipe.schedule.repository,
            "buildspec": buildspec,
            "gitCloneDepth": 1,
        },
        "sourceVersion": scope.recipe.schedule.ref,
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {"type": "LINUX_CONTAINER", "image": IMAGE, "computeType": "BUILD_GENERAL1_SMALL"},
        "serviceRole": role,
        "timeoutInMinutes": 180,
        "queuedTimeoutInMinutes": 60,
        "concurrentBuildLimit": 1,
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": names.logs}},
    }


def _schedule(scope: PolicyScope, names: ScheduleNames, project: str) -> dict[str, Any]:
    when = scope.recipe.schedule
    return {
        "Description": f"goldenami: rebuilds {names.image} every month",
        "ScheduleExpression": when.cron,
        "ScheduleExpressionTimezone": when.timezone,
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 60},
        "State": "ENABLED",
        "Target": {
            "Arn": project,
            "RoleArn": scope.arn("iam", f"role/{names.scheduler_role}", region=False),
            "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 3},
        },
    }


def _source_type(scope: PolicyScope) -> str:
    host = urlsplit(scope.recipe.schedule.repository).hostname or ""
    if host.startswith("git-codecommit."):
        return "CODECOMMIT"
    if host not in _SOURCE_TYPES:
        raise UsageError(
            f"CodeBuild cannot check out '{scope.recipe.schedule.repository}'"
            " ([schedule] repository: GitHub, GitLab, Bitbucket or CodeCommit, by https)",
            state="Nothing was changed.",
            next=f"edit {scope.recipe.path}, or ./invoke schedule.install on your own machine",
        )
    return _SOURCE_TYPES[host]
