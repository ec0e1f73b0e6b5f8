"""The recipe's sections [rebuild], [notify] and [schedule]: the monthly rebuild."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from goldenami.recipe.fields import Arn, Frozen, ParameterName, Ref, Section, Text, field, flag, matches, number


def _topic(value: str) -> str:
    if value and value.split(":")[2] != "sns":
        raise ValueError
    return value


TopicArn = Annotated[Arn, AfterValidator(_topic)]
Repository = Annotated[str, AfterValidator(matches(r"|https://[A-Za-z0-9][A-Za-z0-9.-]*/[^\s@]+"))]
TimeZone = Annotated[str, AfterValidator(matches(r"[A-Za-z]+(?:/[A-Za-z0-9_+-]+)*"))]


class Rebuild(Section):
    """The unattended monthly rebuild."""

    max_age_days: int = number(
        30,
        0,
        365,
        "Maximum age of the base layer in days; an older one is rebuilt for its package updates even if nothing"
        " else has changed. 0 disables the check.",
        unit="days",
    )
    auto_promote: bool = flag(
        False,
        "Let `./invoke rebuild` also promote the new image to the fleet, with the settings of `[promote]`."
        " Otherwise the image is only published as the candidate.",
    )


class Notify(Section):
    """The destinations of notifications about rebuilds."""

    sns_topic_arn: TopicArn = field(
        "",
        description="SNS topic to publish to.",
        expected="the ARN of an SNS topic",
        example="arn:aws:sns:ap-northeast-2:123456789012:golden-images",
    )
    webhook_parameter: ParameterName | None = field(
        None,
        description="Parameter with the URL of a webhook (Slack, Mattermost, …), which receives a POST of JSON. The URL is a"
        " secret, so it is not written in the recipe.",
        expected='a parameter name such as "/guestbook/production/webhook"',
        example="/guestbook/production/webhook",
    )
    command: Annotated[tuple[Text, ...], Frozen] = field(
        (),
        description="Program with its arguments, run without a shell; it reads the message as JSON from its standard input.",
        expected="a list: the program, then its arguments",
        example=["/usr/local/bin/notify-team", "--channel", "ops"],
    )

    @property
    def places(self) -> tuple[str, ...]:
        """Descriptions of the configured destinations, without secrets."""
        places = []
        if self.sns_topic_arn:
            places.append(f"the topic {self.sns_topic_arn}")
        if self.webhook_parameter:
            places.append(f"the webhook in {self.webhook_parameter}")
        if self.command:
            places.append(f"the command {self.command[0]}")
        return tuple(places)


class Schedule(Section):
    """The time of the rebuild, for a systemd timer or EventBridge Scheduler."""

    day: int = number(1, 1, 28, "Day of the month.")
    hour: int = number(3, 0, 23, "Hour of the day, in `timezone`.")
    timezone: TimeZone = field(
        "UTC",
        description="IANA name of the time zone.",
        expected="a time zone such as Asia/Seoul",
        example="Asia/Seoul",
    )
    repository: Repository = field(
        "",
        description="Git URL of the repository with your golden.toml and this tool, which CodeBuild checks out"
        " (`schedule.aws` only).",
        expected="an https URL of GitHub, GitLab, Bitbucket or CodeCommit",
        example="https://github.com/you/images.git",
    )
    ref: Ref = field(
        "main",
        description="Branch or tag of the repository (`schedule.aws` only).",
        expected="a git branch or tag",
        example="main",
    )

    @property
    def on_calendar(self) -> str:
        """The schedule as a systemd calendar event."""
        return f"*-*-{self.day:02d} {self.hour:02d}:00:00 {self.timezone}"

    @property
    def cron(self) -> str:
        """The schedule as EventBridge Scheduler's cron expression, without the time zone.

        Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
        """
        return f"cron(0 {self.hour} {self.day} * ? *)"
