"""The least privilege of each task, as an IAM policy for the operator or the machine that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goldenami.errors import UsageError
from goldenami.iam import bake as baking
from goldenami.iam import database as rows
from goldenami.iam import images as life
from goldenami.iam.fleet import ground, own, shift
from goldenami.iam.statements import (
    Place,
    Statement,
    claim,
    command,
    commit,
    console,
    launch,
    look,
    mark,
    register,
    roll,
    terminate,
    who,
)


def policy(task: str, place: Place) -> dict[str, Any]:
    """The policy that a task needs, and nothing else.

    Raises:
        UsageError: There is no policy for this task.
    """
    if task not in _TASKS:
        raise UsageError(f"there is no policy for '{task}'; expected one of {', '.join(sorted(_TASKS))}")
    statements = [statement for part in _TASKS[task] for statement in part(place)]
    unique = [s for number, s in enumerate(statements) if s not in statements[:number]]
    return {"Version": "2012-10-17", "Statement": unique}


def tasks() -> Sequence[str]:
    """The tasks that there is a policy for."""
    return sorted(_TASKS)


_CHANGES = (who, look, claim)
_PROMOTE = (*_CHANGES, commit, roll, shift, command, rows.exchange)
_BAKE = (who, baking.survey, baking.build, baking.numbers)
_TASKS: dict[str, tuple[Callable[[Place], list[Statement]], ...]] = {
    "bake": _BAKE,
    "rebuild": (*_BAKE, baking.record, baking.tell, *_PROMOTE, life.census, life.prune, life.trim),
    "render": (who, baking.survey, baking.numbers),
    "verify": _BAKE,
    "doctor": _BAKE,
    "images": (look,),
    "sweep": (who, look, claim, baking.survey, baking.build, life.census, life.trim),
    "notify": (baking.tell,),
    "prune": (life.census, life.prune),
    "cost": (baking.pricelist, rows.where),
    "schedule.aws": (who, baking.timetable),
    "retire": (look, life.retire),
    "copy": (who, look, life.copy),
    "diff": (look, life.knowledge),
    "status": (who, look, rows.where),
    "instances": (look,),
    "console": (look, console),
    "logs": (look, command),
    "ssh": (look,),
    "terminate": (*_CHANGES, terminate, command, rows.vault, rows.undisturbed),
    "promote": _PROMOTE,
    "rollback": _PROMOTE,
    "deploy": (*_CHANGES, commit, launch, register, terminate, own, command, rows.exchange),
    "update": (*_CHANGES, command, mark),
    "fleet.show": (look, ground, rows.where),
    "fleet.create": (*_CHANGES, commit, launch, own, command, rows.exchange, rows.where),
    "fleet.destroy": (*_CHANGES, roll, own, terminate, command, rows.exchange, rows.where),
    "db.backup": (who, look, command, rows.vault),
    "db.list": (who, rows.reading),
    "db.verify": (who, rows.reading),
    "db.restore": (*_CHANGES, command, rows.vault, rows.undisturbed),
    "db.migrate": (*_CHANGES, commit, roll, command, rows.migrate),
}
