"""goldenami: bake golden AMIs with Packer and roll them out safely to a fleet."""

from __future__ import annotations

import atexit
import functools
import gc
from typing import Any

from invoke import Collection

from goldenami.tasks import bake, db, dev, fleet, images, instances, local, promote, schedule

# The garbage collection at exit would traverse every boto3 model: a quarter of a second per command.
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
    promote.recover,
    promote.status,
    promote.deploy,
    promote.cost,
    instances.instances,
    instances.console,
    instances.logs,
    instances.ssh,
    instances.terminate,
    instances.update,
    dev.doctor,
    dev.test,
    dev.docs,
    Collection("db", db.backup, db.list_backups, db.verify, db.restore, db.migrate),
    Collection("fleet", fleet.create, fleet.show, fleet.destroy),
    Collection("iam", fleet.policy),
    Collection("local", local.up, local.down, local.status, local.reset),
    Collection("schedule", schedule.install, schedule.status, schedule.remove, schedule.aws),
)


@functools.cache
def describe_tasks() -> list[dict[str, Any]]:
    """Return every task with its options, for the reference. (Cached, because Invoke returns help texts only once.)"""
    return [
        {
            "name": name,
            "doc": namespace[name].__doc__,
            "options": [
                {
                    "flags": [f"--{argument.name.replace('_', '-')}"],
                    "help": argument.help,
                    "default": argument.default,
                    "required": argument.positional and argument.default is None,
                }
                for argument in namespace[name].get_arguments()
            ],
        }
        for name in sorted(namespace.task_names, key=lambda name: ("." in name, name))
    ]
