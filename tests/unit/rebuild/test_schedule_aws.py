"""The schedule on AWS: four parts, made once, corrected, taken away; roles that may do one thing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from goldenami.aws import scheduler
from goldenami.aws.errors import retry
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.iam.statements import PolicyScope
from goldenami.iam.task_policies import policy
from goldenami.rebuild import schedule_aws
from goldenami.rebuild.schedule_aws_plan import ScheduleResource, schedule_resources
from goldenami.tools.progress import Progress
from localcloud import codebuild
from tests.support.clock import ScriptedClock
from tests.support.recipes import recipe

GIVEN = {
    "schedule.repository": "https://github.com/you/images.git",
    "schedule.timezone": "Asia/Seoul",
    "schedule.hour": 4,
    "notify.sns_topic_arn": "arn:aws:sns:ap-northeast-2:123456789012:golden-images",
}
PLACE = PolicyScope("ap-northeast-2", "123456789012", recipe(GIVEN))


def shop_of(changes: dict[str, Any]) -> Context:
    clock, read = ScriptedClock(), recipe(changes)
    aws = AwsSession("ap-northeast-2", keys=("test", "test"))
    return Context(read.path.parent, read, read.target("aws"), aws, clock, Progress(clock))


@pytest.fixture
def ctx() -> Iterator[Context]:
    codebuild.install()
    with mock_aws():
        yield shop_of(GIVEN)


def grants(statements: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Every single thing that is allowed: the action, the resource, the condition."""
    return {
        (action, resource, json.dumps(s.get("Condition"), sort_keys=True))
        for s in statements
        for action in s["Action"]
        for resource in ([s["Resource"]] if isinstance(s["Resource"], str) else s["Resource"])
    }


def by_kind(found: tuple[ScheduleResource, ...]) -> dict[str, ScheduleResource]:
    return {part.kind: part for part in found}


def test_made_once_and_taken_away(ctx: Context) -> None:
    assert [seen.change for seen in schedule_aws.preflight(ctx)] == ["missing"] * 4
    schedule_aws.apply(ctx)
    assert [seen.change for seen in schedule_aws.preflight(ctx)] == ["unchanged"] * 4
    assert [seen.change for seen in schedule_aws.apply(ctx)] == ["unchanged"] * 4
    found = scheduler.get_schedule(ctx.aws, "guestbook-rebuild")
    assert found is not None
    assert (found["ScheduleExpression"], found["ScheduleExpressionTimezone"]) == ("cron(0 4 1 * ? *)", "Asia/Seoul")
    project = scheduler.get_project(ctx.aws, "guestbook-rebuild")
    assert project is not None
    assert "./invoke rebuild --if-needed --target=aws --recipe=golden.toml" in project["source"]["buildspec"]
    assert len(schedule_aws.remove(ctx)) == 4
    assert [seen.change for seen in schedule_aws.preflight(ctx)] == ["missing"] * 4
    assert schedule_aws.remove(ctx) == []


def test_a_changed_hour_changes_the_schedule_alone(ctx: Context) -> None:
    schedule_aws.apply(ctx)
    later = shop_of({**GIVEN, "schedule.hour": 5})
    assert [seen.change for seen in schedule_aws.apply(later)] == ["unchanged", "unchanged", "unchanged", "differs"]
    assert [seen.change for seen in schedule_aws.preflight(later)] == ["unchanged"] * 4


def test_another_repository_changes_the_project_alone(ctx: Context) -> None:
    schedule_aws.apply(ctx)
    moved = shop_of({**GIVEN, "schedule.repository": "https://github.com/you/others.git"})
    assert [seen.change for seen in schedule_aws.apply(moved)] == ["unchanged", "differs", "unchanged", "unchanged"]
    assert [seen.change for seen in schedule_aws.preflight(moved)] == ["unchanged"] * 4


def test_a_role_that_somebody_widened_is_corrected(ctx: Context) -> None:
    schedule_aws.apply(ctx)
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    ctx.aws.client("iam").put_role_policy(
        RoleName="guestbook-rebuild-schedule", PolicyName="goldenami", PolicyDocument=json.dumps(everything)
    )
    assert [seen.change for seen in schedule_aws.apply(ctx)] == ["unchanged", "unchanged", "differs", "unchanged"]
    assert [seen.change for seen in schedule_aws.preflight(ctx)] == ["unchanged"] * 4


def test_killed_between_two_parts_it_goes_on(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "put_schedule", die)
        with pytest.raises(KeyboardInterrupt):
            schedule_aws.apply(ctx)
    assert [seen.change for seen in schedule_aws.apply(ctx)] == ["unchanged", "unchanged", "unchanged", "missing"]


def test_each_role_may_do_its_one_thing() -> None:
    found = by_kind(schedule_resources(PLACE, ""))
    start = found["scheduler role"].desired["policy"]["Statement"]
    assert start == [
        {
            "Sid": "Start",
            "Effect": "Allow",
            "Action": ["codebuild:StartBuild"],
            "Resource": "arn:aws:codebuild:ap-northeast-2:123456789012:project/guestbook-rebuild",
        }
    ]
    build = found["build role"].desired["policy"]["Statement"]
    wanted = [*policy("rebuild", PLACE)["Statement"], build[-1]]
    assert build[-1]["Sid"] == "BuildLogs"
    assert grants(build) == grants(wanted)
    # A role's inline policies have room for 10,240 characters.
    assert len(json.dumps(found["build role"].desired["policy"], separators=(",", ":"))) < 10240
    for role in ("build role", "scheduler role"):
        condition = found[role].desired["trust"]["Statement"][0]["Condition"]
        assert condition["StringEquals"] == {"aws:SourceAccount": "123456789012"}
        assert "aws:SourceArn" in condition["ArnLike"]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://github.com/you/images.git", "GITHUB"),
        ("https://gitlab.com/you/images.git", "GITLAB"),
        ("https://bitbucket.org/you/images.git", "BITBUCKET"),
        ("https://git-codecommit.ap-northeast-2.amazonaws.com/v1/repos/images", "CODECOMMIT"),
    ],
)
def test_repositories(url: str, kind: str) -> None:
    place = PolicyScope("ap-northeast-2", "123456789012", recipe({**GIVEN, "schedule.repository": url}))
    found = by_kind(schedule_resources(place, ""))
    assert found["project"].desired["source"]["type"] == kind
    sids = [s["Sid"] for s in found["build role"].desired["policy"]["Statement"]]
    assert ("CheckOut" in sids) == (kind == "CODECOMMIT")


@pytest.mark.parametrize("url", ["", "https://example.com/images.git"])
def test_a_place_that_codebuild_cannot_check_out_is_refused(url: str) -> None:
    place = PolicyScope("ap-northeast-2", "123456789012", recipe({**GIVEN, "schedule.repository": url}))
    with pytest.raises(UsageError, match="CodeBuild cannot check out"):
        schedule_resources(place, "")


def test_a_role_that_is_not_known_yet_is_waited_for() -> None:
    clock, calls = ScriptedClock(), []

    def create(**_: Any) -> None:
        calls.append(1)
        if len(calls) < 3:
            told = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
            raise ClientError({"Error": {"Code": "ValidationException", "Message": told}}, "CreateSchedule")

    retry(clock, create, scheduler._is_role_unknown, timeout=60, every=5)
    assert len(calls) == 3
    assert len(clock.sleeps) == 2

    def never() -> None:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": "bad cron"}}, "CreateSchedule")

    with pytest.raises(ClientError, match="bad cron"):
        retry(clock, never, scheduler._is_role_unknown, timeout=60, every=5)


def test_the_recipe_must_be_in_the_repository(tmp_path: Path) -> None:
    from goldenami.recipe.parse import parse
    from tests.support import recipes

    with mock_aws():
        ctx = shop_of(GIVEN)
        away = parse(recipes.text(GIVEN), tmp_path / "golden.toml")
        moved = Context(ctx.root, away, away.target("aws"), ctx.aws, ctx.clock, ctx.progress)
        with pytest.raises(UsageError, match="is not in the repository"):
            schedule_aws.preflight(moved)
