"""Ask an instance to look after its rows: one script, through Run Command; what it says comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from goldenami.aws import run_command, s3, session
from goldenami.context import Context
from goldenami.database.guard_plan import InstanceData
from goldenami.errors import AwsError, GateError
from goldenami.model.names import prefix
from goldenami.recipe.recipe import Recipe, bucket_name
from goldenami.recipe.template_vars import template_vars
from goldenami.tools.clock import poll
from goldenami.tools.jinja import ROOT, render_text

_TIMEOUT = 3600.0  # seconds; a transfer that takes longer has died
_AGENT = 180.0  # seconds until the agent of a new instance has called


def backup_bucket(ctx: Context) -> str:
    """The bucket of the backups."""
    return bucket_name(ctx.recipe, session.caller(ctx.aws)[0], ctx.aws.region)


def ensure_backup_bucket(ctx: Context) -> str:
    """The bucket of the backups; made, or set right."""
    bucket = backup_bucket(ctx)
    if s3.ensure_bucket(ctx.aws, bucket, ctx.recipe.backup.keep_days, dict(ctx.recipe.tags)):
        ctx.progress.info(f"made the bucket {bucket} (private, encrypted, versioned)")
    return bucket


def inspect(ctx: Context, instance: str) -> InstanceData:
    """What an instance keeps; `seen` is false where nobody can look, also because it does not answer any more."""
    script = data_script(ctx.recipe, ctx.aws.region, "inspect", {})
    said = run_command.run(ctx.aws, ctx.clock, instance, script, timeout=60)
    if said is None:
        return InstanceData(instance, reachable=False, reason="it is not managed by Systems Manager")
    try:
        return InstanceData(instance, **_output(instance, "inspect", said))
    except GateError as error:
        return InstanceData(instance, reachable=False, reason=error.message)


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
    """Let an instance do something with its rows; waits for the agent of one that has just booted.

    Args:
        shop: Where.
        instance: Which one.
        action: What (templates/data.sh.j2 lists it).
        backup: The id of the backup that it is about.
        result: What the fingerprint of a restored database is called in the bucket.
        replace: Whether rows that are there may be replaced.
        home: Whose database: what the machine's image says when empty, `instance` for its own, `rds` for a server elsewhere.
        host: That server's host name; what the recipe's parameter says when empty.
        beat: Called while it works, which may take an hour: nobody is to take whoever waits for dead.

    Raises:
        GateError: It did not work; the message is the instance's own.
        AwsError: The instance cannot be reached.
    """
    values: dict[str, object] = {
        "bucket": backup_bucket(ctx) if backup else "",
        "prefix": prefix(ctx.name, backup) if backup else "",
        "result": result,
        "replace": "yes" if replace else "no",
        "storage_mode": storage_mode,
        "host": host,
    }
    script = data_script(ctx.recipe, ctx.aws.region, action, values)
    for _ in poll(ctx.clock, timeout=_AGENT, every=2):
        said = run_command.run(ctx.aws, ctx.clock, instance, script, timeout=_TIMEOUT, beat=heartbeat)
        if said is not None:
            return _output(instance, action, said)
    raise AwsError(
        f"{instance} is not managed by Systems Manager, so nobody can look after its rows",
        next="set run_command = true under [fleet] in golden.toml, and run ./invoke fleet.create",
    )


def _output(instance: str, action: str, said: run_command.CommandResult) -> dict[str, Any]:
    found = re.search(r"^RESULT (\{.*\})$", said.stdout, re.MULTILINE)
    if said.code == 0 and found:
        told: dict[str, Any] = json.loads(found[1])
        return told
    lines = said.stderr.strip().splitlines()
    red = next((line.removeprefix("ERROR ") for line in lines if line.startswith("ERROR ")), said.status)
    # The server's own words say more than the line of the script that they ended.
    cause = next((line for line in lines if line.startswith(("ERROR:", "FATAL:", "pg_", "psql:", "curl:"))), "")
    raise GateError(f"{instance}, {action}: {cause or red}", next=f"./invoke logs --instance {instance}")


def data_script(recipe: Recipe, region: str, action: str, values: Mapping[str, object], root: Path = ROOT) -> str:
    """The script that looks after the database on an instance: what it keeps, backups, their way back."""
    given = dict.fromkeys(("bucket", "prefix", "result", "replace", "storage_mode", "host"), "") | {
        **values,
        "action": action,
    }
    return render_text("data.sh.j2", {**template_vars(recipe, "app", region, ""), **given}, root)
