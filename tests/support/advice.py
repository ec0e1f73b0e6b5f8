"""Follow the tool's own advice: run the command that `status` or an error names, until all is well or a person decides."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from typing import Any

import invoke
import pytest
from botocore import xform_name
from invoke.parser import Parser

import tasks
from goldenami.context import Context
from goldenami.fleet import describe
from goldenami.fleet.model import Assessment
from goldenami.tasks import runner

# What only a person can do next: change the application, read its log, or decide about data.
DECISIONS = ("./invoke bake", "./invoke logs", "./invoke images", "aws ec2 start-instances", "fix the cause")
LOOK_AGAIN = "./invoke status"
STEPS = 6
PATIENCE = 40.0  # seconds in which the group is expected to act by itself


class Operator:
    """Runs each command that is printed, as a person would who reads nothing else.

    Attributes:
        ctx: Creates the context of a command.
        commands: The commands that were run, in order.
        output: The same with the errors that they ended with.
    """

    def __init__(self, ctx: Callable[[], Context], patch: pytest.MonkeyPatch) -> None:
        self.ctx, self.commands, self.output = ctx, list[str](), list[str]()
        patch.setattr(runner, "open_context", lambda recipe, target: ctx())

    def follow(self) -> str:
        """Follow the advice until the fleet serves without drift; return the decision that is asked for, or empty."""
        command = self.status().next
        while command:
            if command.startswith(DECISIONS):
                return command
            assert command not in self.commands, f"advice circles: {self.commands}, then {command}"
            assert len(self.commands) < STEPS, self.commands
            self.commands.append(command)
            command = self.run(command) or self.status().next
        assert self.status().state == "serving"
        return ""

    def status(self) -> Assessment:
        """Return the assessment, once it no longer says only to look again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assessment = describe.fleet_status(self.ctx()).assessment
            if assessment.next != LOOK_AGAIN or time.monotonic() > deadline:
                return assessment
            time.sleep(0.2)

    def run(self, command: str) -> str:
        """Run a command; return the next one that its error names, or empty."""
        words = shlex.split(command)
        if words[0] == "aws":
            call_aws(self.ctx(), words[1:])
            return ""
        assert words[0] == "./invoke", command
        (context,) = Parser(contexts=tasks.namespace.to_contexts()).parse_argv(words[1:])
        self.output.append(command)
        try:
            tasks.namespace[context.name](invoke.Context(), **context.as_kwargs)
        except invoke.Exit as error:
            self.output.append(error.message or "")
            advice = re.search(r"^Next: ([^;,]*)", error.message or "", re.MULTILINE)
            return advice[1].strip() if advice else ""
        return ""


def call_aws(ctx: Context, words: list[str]) -> None:
    """Make the call of an `aws SERVICE OPERATION --parameter value …` command line."""
    client: Any = ctx.aws.client(words[0])  # type: ignore[call-overload]
    parameters: dict[str, Any] = {}
    for option in re.split(r" (?=--)", " ".join(words[2:])):
        name, *values = option.removeprefix("--").split()
        key = "".join(part.capitalize() for part in name.split("-"))
        many = key.endswith(("Ids", "Processes"))
        parameters[key] = values if many else int(values[0]) if values[0].isdigit() else values[0]
    getattr(client, xform_name(words[1].title().replace("-", "")))(**parameters)
