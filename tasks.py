"""goldenami: bake golden AMIs with Packer and carry them safely to the fleet that serves your users."""

from __future__ import annotations

import atexit
import functools
import gc
from typing import Any

from invoke import Collection

from goldenami.tasks import bake, db, dev, fleet, images, instances, local, promote, schedule

# The interpreter's last collection would go through every model of boto3 once more: a quarter of a second a command.
atexit.register(gc.freeze)

namespace = Collection(
    bake.bake,
    bake.rebuild,
    bake.notify,
    bake.render,
    bake.verify,
    images.images,
    images.diff,
    images.copy,
    images.prune,
    images.retire,
    images.sweep,
    promote.promote,
    promote.rollback,
    promote.status,
    promote.deploy,
    promote.update,
    promote.cost,
    instances.instances,
    instances.console,
    instances.logs,
    instances.ssh,
    instances.terminate,
    dev.doctor,
    dev.test,
    dev.docs,
    Collection("db", db.backup, db.listed, db.verify, db.restore, db.migrate),
    Collection("fleet", fleet.create, fleet.show, fleet.destroy),
    Collection("iam", fleet.policy),
    Collection("local", local.up, local.down, local.status, local.reset),
    Collection("schedule", schedule.install, schedule.status, schedule.remove, schedule.aws),
)


@functools.cache
def described() -> list[dict[str, Any]]:
    """Every task with its options, for the reference. (Kept, since Invoke tells what an option means only once.)"""
    return [
        {
            "name": name,
            "doc": namespace[name].__doc__,
            "options": [
                {
                    "flags": [f"--{argument.name.replace('_', '-')}"],
                    "means": argument.help,
                    "default": argument.default,
                    "needed": argument.positional and argument.default is None,
                }
                for argument in namespace[name].get_arguments()
            ],
        }
        for name in sorted(namespace.task_names, key=lambda name: ("." in name, name))
    ]
