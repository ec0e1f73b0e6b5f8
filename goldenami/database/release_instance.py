"""The release instance: an instance of the new image outside the fleet, with a temporary database, that runs the release step.

It has the fleet's role, network and tags, so it reaches the live database, and its run's tag, so that `sweep` finds it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from goldenami.aws import instances
from goldenami.context import Context
from goldenami.infra import describe, network
from goldenami.model.image import IMAGE, RELEASE, RUN

# The line that makes init-database create a temporary database.
_USER_DATA = "#!/bin/sh\n# goldenami: temporary database\n"


@contextlib.contextmanager
def launched(ctx: Context, run: str, template: str, version: int, tags: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Launch a release instance, yield its id, and terminate it at the end of the block.

    Args:
        tags: The tag specifications of the launch template version.
    """
    own = {RELEASE: ctx.name, RUN: run, IMAGE: ctx.name, "Name": f"{ctx.name}-release"}
    try:
        instance = instances.launch_from_template(
            ctx.aws,
            template,
            version,
            network.find_network(ctx).subnets[0],
            f"{run}-release",
            UserData=_USER_DATA,
            TagSpecifications=_with_tags(tags, own),
        )
        yield instance.id
    finally:
        terminate_all(ctx)


def terminate_all(ctx: Context) -> None:
    """Terminate every release instance of the service. The caller holds the fleet's lock, so no other process uses one."""
    for instance in describe.release_instances(ctx):
        instances.terminate(ctx.aws, ctx.clock, instance.id)
        ctx.progress.detail(f"terminated {instance.id}, which ran a release step")


def _with_tags(specifications: Sequence[Mapping[str, Any]], tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the specifications with further tags, for RunInstances: it replaces the template's."""
    return [
        {
            "ResourceType": specification["ResourceType"],
            "Tags": [
                *(tag for tag in specification["Tags"] if tag["Key"] not in tags),
                *({"Key": key, "Value": value} for key, value in tags.items()),
            ],
        }
        for specification in specifications
    ]
