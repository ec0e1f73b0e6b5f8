"""The release step on an instance of the new image: what is pending, the rehearsal on a copy of the data, and the application."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from goldenami.context import Context
from goldenami.database import agent
from goldenami.database.release_plan import AppliedStep, parse_applied, parse_failure, parse_steps
from goldenami.errors import AwsError, GateError
from goldenami.state.runs import write_text
from goldenami.text import printable


class ReleaseError(GateError):
    """The release step failed. The message begins with the component's own: PostgreSQL's error, its DETAIL and HINT."""


def read_applied(ctx: Context, instance: str) -> Mapping[str, str] | None:
    """Return the migrations that are applied to the database of a running instance, by their checksum.

    Returns:
        None if they are unknown: its image has no release step, a release command tracks them, or it runs no commands.
    """
    try:
        output = agent.execute(ctx, instance, "release-plan", timeout=0)
        return parse_applied(_result(output.stdout)) if output.code == 0 else None
    except AwsError:
        return None


def read_plan(ctx: Context, run: str, instance: str) -> Mapping[str, Any]:
    """Return the release script's plan: what is pending on the live database, according to an instance of the new image."""
    return _run(ctx, run, instance, "release-plan")


def database_size(ctx: Context, instance: str) -> int:
    """Return the size of the live database in bytes."""
    return int(agent.run(ctx, instance, "survey")["bytes"])


def rehearse(
    ctx: Context, run: str, instance: str, backup: str, heartbeat: Callable[[], object]
) -> tuple[AppliedStep, ...]:
    """Apply what is pending to a backup, restored next to the temporary database of an instance outside the fleet."""
    return parse_steps(_run(ctx, run, instance, "release-rehearse", backup=backup, heartbeat=heartbeat))


def apply(ctx: Context, run: str, instance: str, heartbeat: Callable[[], object]) -> tuple[AppliedStep, ...]:
    """Apply what is pending to the database that an instance uses, each migration in its own transaction."""
    return parse_steps(_run(ctx, run, instance, "release-apply", heartbeat=heartbeat))


def _run(
    ctx: Context,
    run: str,
    instance: str,
    action: str,
    *,
    backup: str = "",
    heartbeat: Callable[[], object] = lambda: None,
) -> Mapping[str, Any]:
    """Run an action; keep what psql printed in the run's folder.

    Raises:
        ReleaseError: It failed; its state says what stands in the database.
    """
    output = agent.execute(ctx, instance, action, backup=backup, heartbeat=heartbeat)
    path = ctx.build / run / f"{action}.log"
    if output.stderr and path.parent.is_dir():
        write_text(path, printable(output.stderr))
    if output.code == 0 and (result := _result(output.stdout)):
        return result
    failure = parse_failure(output.stderr, output.status)
    raise ReleaseError(failure.message, state=failure.state, next=f"less {path}")


def _result(stdout: str) -> dict[str, Any]:
    match = re.search(r"^RESULT (\{.*\})$", stdout, re.MULTILINE)
    result: dict[str, Any] = json.loads(match[1]) if match else {}
    return result
