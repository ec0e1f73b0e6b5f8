"""Least-privilege IAM policy of each task, for the operator or machine that runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from goldenami.errors import UsageError
from goldenami.iam import bake, database, images
from goldenami.iam.fleet import associate_address, describe_network, manage_resources, restart_instances, traffic_shift
from goldenami.iam.statements import (
    PolicyScope,
    Statement,
    caller_identity,
    console_output,
    describe_fleet,
    instance_refresh,
    launch_from_template,
    lock,
    publish,
    register_targets,
    run_command,
    tag_drift,
    terminate,
)


def policy(task: str, scope: PolicyScope) -> dict[str, Any]:
    """Return the least-privilege policy of a task.

    Raises:
        UsageError: The task has no policy.
    """
    if task not in _TASKS:
        raise UsageError(f"there is no policy for '{task}'; expected one of {', '.join(sorted(_TASKS))}")
    statements = [statement for part in _TASKS[task] for statement in part(scope)]
    unique = [s for index, s in enumerate(statements) if s not in statements[:index]]
    return {"Version": "2012-10-17", "Statement": list(_without_repeated_actions(unique))}


def _without_repeated_actions(statements: Sequence[Statement]) -> Iterator[Statement]:
    """Yield the statements without the actions that an earlier one allows on all resources: a policy's size is limited."""
    allowed: set[str] = set()
    for statement in statements:
        actions = [action for action in statement["Action"] if action not in allowed]
        if statement["Resource"] == "*" and "Condition" not in statement:
            allowed |= set(actions)
        if actions:
            yield {**statement, "Action": actions}


def task_names() -> Sequence[str]:
    """Return the names of the tasks that have a policy."""
    return sorted(_TASKS)


_CHANGES = (caller_identity, describe_fleet, lock)
_PROMOTE = (*_CHANGES, publish, instance_refresh, traffic_shift, run_command, database.replace_instance)
_BAKE = (caller_identity, bake.describe_build_inputs, bake.build, bake.read_and_publish_parameters)
_TASKS: dict[str, tuple[Callable[[PolicyScope], list[Statement]], ...]] = {
    "bake": _BAKE,
    "rebuild": (
        *_BAKE,
        bake.write_rebuild_record,
        bake.notify,
        database.verify_newest_backup,
        *_PROMOTE,
        images.read_references,
        images.prune,
        images.delete_template_versions,
    ),
    "render": (caller_identity, bake.describe_build_inputs, bake.read_and_publish_parameters),
    "verify": _BAKE,
    "doctor": _BAKE,
    "images": (describe_fleet,),
    "sweep": (
        caller_identity,
        describe_fleet,
        lock,
        bake.describe_build_inputs,
        bake.build,
        images.read_references,
        images.delete_template_versions,
    ),
    "notify": (bake.notify,),
    "prune": (images.read_references, images.prune),
    "cost": (bake.read_price_list, database.describe_storage),
    "schedule.aws": (caller_identity, bake.manage_schedule),
    "retire": (describe_fleet, images.retire),
    "copy": (caller_identity, describe_fleet, images.copy),
    "diff": (describe_fleet, images.read_inventory),
    "status": (caller_identity, describe_fleet, database.describe_storage),
    "instances": (describe_fleet,),
    "console": (describe_fleet, console_output),
    "logs": (describe_fleet, run_command),
    "ssh": (describe_fleet,),
    "terminate": (*_CHANGES, terminate, run_command, database.backup_bucket, database.suspend_processes),
    "promote": (*_PROMOTE, images.read_inventory),
    "rollback": (*_PROMOTE, images.read_inventory),
    "deploy": (
        *_CHANGES,
        publish,
        images.read_inventory,
        launch_from_template,
        register_targets,
        terminate,
        manage_resources,
        run_command,
        database.replace_instance,
    ),
    "update": (*_CHANGES, run_command, tag_drift),
    "fleet.show": (describe_fleet, describe_network, database.describe_storage),
    "fleet.create": (
        *_CHANGES,
        publish,
        launch_from_template,
        manage_resources,
        run_command,
        database.replace_instance,
        database.describe_storage,
    ),
    "fleet.destroy": (
        *_CHANGES,
        instance_refresh,
        manage_resources,
        terminate,
        run_command,
        database.replace_instance,
        database.describe_storage,
    ),
    "recover": (
        *_CHANGES,
        publish,
        launch_from_template,
        manage_resources,
        register_targets,
        terminate,
        console_output,
        run_command,
        database.replace_instance,
        database.describe_storage,
        restart_instances,
        associate_address,
    ),
    "db.backup": (caller_identity, describe_fleet, run_command, database.backup_bucket),
    "db.list": (caller_identity, database.read_backups),
    "db.verify": (caller_identity, describe_fleet, run_command, database.read_backups),
    "db.restore": (*_CHANGES, run_command, database.backup_bucket, database.suspend_processes),
    "db.migrate": (*_CHANGES, images.read_inventory, publish, instance_refresh, run_command, database.migrate),
}
