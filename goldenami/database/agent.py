"""Run the data script on an instance through Run Command, and parse its result."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from goldenami.aws import instances, run_command, s3
from goldenami.context import Context
from goldenami.database.guard_plan import InstanceData
from goldenami.errors import AwsError, GateError
from goldenami.model.fleet import NOT_RUNNING
from goldenami.model.names import prefix
from goldenami.recipe.recipe import Recipe, bucket_name
from goldenami.recipe.template_vars import template_vars
from goldenami.tools.clock import poll
from goldenami.tools.jinja import ROOT, render_text

_CAUSES = ("ERROR:", "FATAL:", "pg_", "psql:", "curl:")
_CONTEXT = ("pg_restore: while ", "pg_restore: from TOC ")  # before pg_restore's error
_TIMEOUT = 3600.0  # seconds for one action
_AGENT_TIMEOUT = 180.0  # seconds until the SSM agent of a new instance is registered


def backup_bucket(ctx: Context) -> str:
    """Return the name of the backup bucket."""
    return bucket_name(ctx.recipe, ctx.aws.account, ctx.aws.region)


def ensure_backup_bucket(ctx: Context) -> str:
    """Create the backup bucket if it does not exist, let the fleet's backups in it expire, and return its name."""
    bucket, backups = backup_bucket(ctx), prefix(ctx.name, "")
    if s3.ensure_bucket(ctx.aws, bucket, backups, ctx.recipe.backup.retention_days, dict(ctx.recipe.tags)):
        ctx.progress.info(f"created the bucket {bucket} (private, encrypted, versioned)")
    return bucket


def inspect(ctx: Context, instance: str) -> InstanceData:
    """Return what data an instance has; not `reachable` if the instance does not run commands or does not answer."""
    script = data_script(ctx.recipe, ctx.aws.region, "inspect", {})
    result = run_command.run(ctx.aws, ctx.clock, instance, script, timeout=60)
    if result is None:
        reason = not_running_reason(ctx, instance) or "the instance is not managed by Systems Manager"
        return InstanceData(instance, reachable=False, reason=reason)
    try:
        return InstanceData(instance, **_parse_result(instance, "inspect", result))
    except GateError as error:
        return InstanceData(instance, reachable=False, reason=error.message)


def not_running_reason(ctx: Context, instance: str) -> str:
    """Return why an instance cannot run commands now, whatever its SSM agent does; empty if it runs or is starting."""
    current = instances.get(ctx.aws, instance)
    if current is None:
        return "the instance does not exist"
    return f"the instance is {current.state}" if current.state in NOT_RUNNING else ""


def run(
    ctx: Context,
    instance: str,
    action: str,
    *,
    backup: str = "",
    result: str = "",
    replace: bool = False,
    storage_mode: str = "",
    host: str = "",
    heartbeat: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Run an action of the data script on an instance; wait for the SSM agent of a new instance.

    Args:
        result: Name of the object with the fingerprint of a restored database.
        replace: True if data that exists may be replaced.
        storage_mode: Whose database: the mode of the instance's image if empty, `instance` for its own server, `rds` for a DB
            instance.
        host: Host name of the DB instance; the one in the recipe's parameter if empty.
        heartbeat: Called while the action runs, which may take an hour, so that the lock does not become stale.

    Raises:
        GateError: The action failed; the message is the script's.
        AwsError: The instance cannot be reached.
    """
    values: dict[str, object] = {
        "result": result,
        "replace": "yes" if replace else "no",
        "storage_mode": storage_mode,
        "host": host,
    }
    return _parse_result(instance, action, execute(ctx, instance, action, values, backup=backup, heartbeat=heartbeat))


def execute(
    ctx: Context,
    instance: str,
    action: str,
    values: Mapping[str, object] | None = None,
    *,
    backup: str = "",
    timeout: float = _AGENT_TIMEOUT,
    heartbeat: Callable[[], object] = lambda: None,
) -> run_command.CommandResult:
    """Run an action of the data script on an instance, and return its output, also if it failed.

    Args:
        values: Further variables of the script.
        timeout: Seconds until the SSM agent of a new instance must be registered.
        heartbeat: As of `run`.

    Raises:
        AwsError: The instance cannot be reached.
    """
    objects = {}
    if backup:
        objects = {"bucket": backup_bucket(ctx), "account": ctx.aws.account, "prefix": prefix(ctx.name, backup)}
    script = data_script(ctx.recipe, ctx.aws.region, action, {**(values or {}), **objects})
    for _ in poll(ctx.clock, timeout=timeout, every=2):
        output = run_command.run(ctx.aws, ctx.clock, instance, script, timeout=_TIMEOUT, heartbeat=heartbeat)
        if output is not None:
            for line in output.stderr.splitlines():
                ctx.progress.record(line)
            return output
        if reason := not_running_reason(ctx, instance):
            raise AwsError(f"cannot run {action} on the database of {instance}: {reason}", next="./invoke status")
    raise AwsError(
        f"cannot run {action} on the database of {instance}: the instance is not managed by Systems Manager",
        next="set run_command = true under [fleet] in golden.toml, and run ./invoke fleet.create",
    )


def _parse_result(instance: str, action: str, output: run_command.CommandResult) -> dict[str, Any]:
    match = re.search(r"^RESULT (\{.*\})$", output.stdout, re.MULTILINE)
    if output.code == 0 and match:
        result: dict[str, Any] = json.loads(match[1])
        return result
    lines = output.stderr.strip().splitlines()
    error = next((line.removeprefix("ERROR ") for line in lines if line.startswith("ERROR ")), output.status)
    # PostgreSQL's own message says more than the line of the script that failed.
    cause = next((line for line in lines if line.startswith(_CAUSES) and not line.startswith(_CONTEXT)), "")
    details = "".join(f"; {line}" for line in lines if line.startswith(("DETAIL:", "HINT:")))
    state = next((line.removeprefix("STATE ") for line in lines if line.startswith("STATE ")), "")
    message = f"{action} on {instance} failed: {cause or error}{details}"
    raise GateError(message, state=state, next=f"./invoke logs --instance {instance}")


def data_script(recipe: Recipe, region: str, action: str, values: Mapping[str, object], root: Path = ROOT) -> str:
    """Return the data script for an action: inspect a database, back it up, restore it, stop and resume its writes."""
    defaults = dict.fromkeys(
        ("account", "bucket", "prefix", "result", "replace", "storage_mode", "host", "release_database"), ""
    )
    contents = (root / "provisioners/files/table-contents.sql").read_text(encoding="utf-8").rstrip()
    variables = {**template_vars(recipe, "app", region, ""), **defaults, **values, "action": action}
    variables["table_contents"] = contents
    return render_text("data.sh.j2", variables, root)
