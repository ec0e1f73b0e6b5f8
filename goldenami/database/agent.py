"""Ask an instance to look after its rows: one script, through Run Command; what it says comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from goldenami.aws import iam_roles as roles
from goldenami.aws import objects
from goldenami.aws import run_command as commands
from goldenami.bake import render
from goldenami.context import Shop
from goldenami.database.backup_model import bucket_name, prefix
from goldenami.database.guard_plan import Kept
from goldenami.errors import AwsError, GateError
from goldenami.tools.clock import attempts

_PATIENCE = 3600.0  # seconds; a transfer that takes longer has died
_AGENT = 180.0  # seconds until the agent of a new instance has called


def vault(shop: Shop) -> str:
    """The bucket of the backups."""
    return bucket_name(shop.recipe, roles.caller(shop.aws)[0], shop.aws.region)


def ensure_vault(shop: Shop) -> str:
    """The bucket of the backups; made, or set right."""
    bucket = vault(shop)
    if objects.ensure_bucket(shop.aws, bucket, shop.recipe.backup.keep_days, dict(shop.recipe.tags)):
        shop.progress.say(f"made the bucket {bucket} (private, encrypted, versioned)")
    return bucket


def look(shop: Shop, instance: str) -> Kept:
    """What an instance keeps; `seen` is false where nobody can look, also because it does not answer any more."""
    script = render.data_script(shop.recipe, shop.aws.region, "look", {})
    said = commands.run(shop.aws, shop.clock, instance, script, timeout=60)
    if said is None:
        return Kept(instance, seen=False, why="it is not managed by Systems Manager")
    try:
        return Kept(instance, **_told(instance, "look", said))
    except GateError as error:
        return Kept(instance, seen=False, why=error.message)


def ask(
    shop: Shop,
    instance: str,
    action: str,
    *,
    backup: str = "",
    result: str = "",
    replace: bool = False,
    home: str = "",
    host: str = "",
    beat: Callable[[], object] = lambda: None,
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
        "bucket": vault(shop) if backup else "",
        "prefix": prefix(shop.name, backup) if backup else "",
        "result": result,
        "replace": "yes" if replace else "no",
        "home": home,
        "host": host,
    }
    script = render.data_script(shop.recipe, shop.aws.region, action, values)
    for _ in attempts(shop.clock, timeout=_AGENT, every=2):
        said = commands.run(shop.aws, shop.clock, instance, script, timeout=_PATIENCE, beat=beat)
        if said is not None:
            return _told(instance, action, said)
    raise AwsError(
        f"{instance} is not managed by Systems Manager, so nobody can look after its rows",
        next="set run_command = true under [fleet] in golden.toml, and run ./invoke fleet.create",
    )


def _told(instance: str, action: str, said: commands.Ran) -> dict[str, Any]:
    found = re.search(r"^DATA (\{.*\})$", said.stdout, re.MULTILINE)
    if said.code == 0 and found:
        told: dict[str, Any] = json.loads(found[1])
        return told
    lines = said.stderr.strip().splitlines()
    red = next((line.removeprefix("RED ") for line in lines if line.startswith("RED ")), said.status)
    # The server's own words say more than the line of the script that they ended.
    cause = next((line for line in lines if line.startswith(("ERROR", "FATAL", "pg_", "psql:", "curl:"))), "")
    raise GateError(f"{instance}, {action}: {cause or red}", next=f"./invoke logs --instance {instance}")
