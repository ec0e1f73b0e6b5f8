"""The sections of the recipe about the monthly rebuild: when it is due, whether it promotes, and who is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from goldenami.recipe.fields import Arn, Frozen, ParameterName, Ref, Section, Text, field, matches


def _topic(value: str) -> str:
    if value and value.split(":")[2] != "sns":
        raise ValueError
    return value


TopicArn = Annotated[Arn, AfterValidator(_topic)]
Repository = Annotated[str, AfterValidator(matches(r"|https://[A-Za-z0-9][A-Za-z0-9.-]*/[^\s@]+"))]
TimeZone = Annotated[str, AfterValidator(matches(r"[A-Za-z]+(?:/[A-Za-z0-9_+-]+)*"))]


class Rebuild(Section):
    """The unattended rebuild."""

    max_age_days: int = field(
        30,
        description="Days after which the base layer is baked anew even when nothing else has changed: its packages were updated"
        " when it was baked, and not since. 0 leaves age out.",
        expected="a number of days from 0 to 365",
        example=30,
        ge=0,
        le=365,
    )
    auto_promote: bool = field(
        False,
        description="Whether `./invoke rebuild` also carries the new image to the fleet, by the rules of `[promote]`. Without it"
        " the image is published as the candidate, and a person promotes it.",
        expected="true or false",
        example=True,
    )


class Notify(Section):
    """Who is told how a rebuild ended: every place that is named here."""

    sns_topic_arn: TopicArn = field(
        "",
        description="The SNS topic that is told.",
        expected="the ARN of an SNS topic",
        example="arn:aws:sns:ap-northeast-2:123456789012:golden-images",
    )
    webhook_parameter: ParameterName | None = field(
        None,
        description="The parameter that holds the URL of a webhook (Slack, Mattermost, …), which is told with a POST of JSON. The"
        " URL is a secret, so it does not stand in the recipe.",
        expected='a parameter name such as "/guestbook/production/webhook"',
        example="/guestbook/production/webhook",
    )
    command: Annotated[tuple[Text, ...], Frozen] = field(
        (),
        description="A program and its arguments, run without a shell; it gets the message as JSON on its standard input.",
        expected="a list: the program, then its arguments",
        example=["/usr/local/bin/tell-the-team", "--channel", "ops"],
    )

    @property
    def places(self) -> tuple[str, ...]:
        """The places that are told, in words; none of them is a secret."""
        told = []
        if self.sns_topic_arn:
            told.append(f"the topic {self.sns_topic_arn}")
        if self.webhook_parameter:
            told.append(f"the webhook in {self.webhook_parameter}")
        if self.command:
            told.append(f"the command {self.command[0]}")
        return tuple(told)


class Schedule(Section):
    """When the rebuild runs: on a machine's systemd, or on AWS."""

    day: int = field(
        1,
        description="The day of the month.",
        expected="a number from 1 to 28",
        example=1,
        ge=1,
        le=28,
    )
    hour: int = field(
        3, description="The hour, in `timezone`.", expected="a number from 0 to 23", example=3, ge=0, le=23
    )
    timezone: TimeZone = field(
        "UTC",
        description="The time zone, by its IANA name.",
        expected="a time zone such as Asia/Seoul",
        example="Asia/Seoul",
    )
    repository: Repository = field(
        "",
        description="On AWS: the git URL of the repository with your golden.toml and this tool, which CodeBuild checks out"
        " (`./invoke schedule.aws`).",
        expected="an https URL of GitHub, GitLab, Bitbucket or CodeCommit",
        example="https://github.com/you/images.git",
    )
    ref: Ref = field("main", description="On AWS: its branch or tag.", expected="a git branch or tag", example="main")

    @property
    def on_calendar(self) -> str:
        """As systemd writes it."""
        return f"*-*-{self.day:02d} {self.hour:02d}:00:00 {self.timezone}"

    @property
    def cron(self) -> str:
        """As EventBridge Scheduler writes it, beside the time zone.

        Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
        """
        return f"cron(0 {self.hour} {self.day} * ? *)"
