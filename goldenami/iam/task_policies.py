"""The least privilege of each task, as an IAM policy for the operator or the machine that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goldenami.errors import UsageError
from goldenami.iam import bake, database, images
from goldenami.iam.fleet import create_resources, network, traffic_shift
from goldenami.iam.statements import (
    PolicyScope,
    Statement,
    caller_identity,
    commit,
    console_output,
    describe_fleet,
    instance_refresh,
    launch_from_template,
    lock,
    register_targets,
    run_command,
    tag_images,
    terminate,
)


def policy(task: str, place: PolicyScope) -> dict[str, Any]:
    """The policy that a task needs, and nothing else.

    Raises:
        UsageError: There is no policy for this task.
    """
    if task not in _TASKS:
        raise UsageError(f"there is no policy for '{task}'; expected one of {', '.join(sorted(_TASKS))}")
    statements = [statement for part in _TASKS[task] for statement in part(place)]
    unique = [s for number, s in enumerate(statements) if s not in statements[:number]]
    return {"Version": "2012-10-17", "Statement": unique}


def task_names() -> Sequence[str]:
    """The tasks that there is a policy for."""
    return sorted(_TASKS)


_CHANGES = (caller_identity, describe_fleet, lock)
_PROMOTE = (*_CHANGES, commit, instance_refresh, traffic_shift, run_command, database.exchange)
_BAKE = (caller_identity, bake.survey, bake.build, bake.numbers)
_TASKS: dict[str, tuple[Callable[[PolicyScope], list[Statement]], ...]] = {
    "bake": _BAKE,
    "rebuild": (*_BAKE, bake.rebuild_record, bake.notify, *_PROMOTE, images.references, images.prune, images.trim),
    "render": (caller_identity, bake.survey, bake.numbers),
    "verify": _BAKE,
    "doctor": _BAKE,
    "images": (describe_fleet,),
    "sweep": (caller_identity, describe_fleet, lock, bake.survey, bake.build, images.references, images.trim),
    "notify": (bake.notify,),
    "prune": (images.references, images.prune),
    "cost": (bake.pricelist, database.describe_storage),
    "schedule.aws": (caller_identity, bake.schedule),
    "retire": (describe_fleet, images.retire),
    "copy": (caller_identity, describe_fleet, images.copy),
    "diff": (describe_fleet, images.inventory),
    "status": (caller_identity, describe_fleet, database.describe_storage),
    "instances": (describe_fleet,),
    "console": (describe_fleet, console_output),
    "logs": (describe_fleet, run_command),
    "ssh": (describe_fleet,),
    "terminate": (*_CHANGES, terminate, run_command, database.backup_bucket, database.suspend_processes),
    "promote": (*_PROMOTE, images.inventory),
    "rollback": (*_PROMOTE, images.inventory),
    "deploy": (
        *_CHANGES,
        images.inventory,
        commit,
        launch_from_template,
        register_targets,
        terminate,
        create_resources,
        run_command,
        database.exchange,
    ),
    "update": (*_CHANGES, run_command, tag_images),
    "fleet.show": (describe_fleet, network, database.describe_storage),
    "fleet.create": (
        *_CHANGES,
        commit,
        launch_from_template,
        create_resources,
        run_command,
        database.exchange,
        database.describe_storage,
    ),
    "fleet.destroy": (
        *_CHANGES,
        instance_refresh,
        create_resources,
        terminate,
        run_command,
        database.exchange,
        database.describe_storage,
    ),
    "db.backup": (caller_identity, describe_fleet, run_command, database.backup_bucket),
    "db.list": (caller_identity, database.reading),
    "db.verify": (caller_identity, database.reading),
    "db.restore": (*_CHANGES, run_command, database.backup_bucket, database.suspend_processes),
    "db.migrate": (*_CHANGES, images.inventory, commit, instance_refresh, run_command, database.migrate),
}
