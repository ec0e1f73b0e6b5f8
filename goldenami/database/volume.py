"""The volume with PostgreSQL's data: made once, and brought to the instance that is to have it; never forced off another.

Where EC2 has it attached is where the rows are. So every step here may be cut short: the next who looks goes on from there.
"""

from __future__ import annotations

from goldenami.aws import ebs, instances, vpc
from goldenami.context import Context
from goldenami.database import agent, volume_plan
from goldenami.errors import AwsError, GateError, GoldenError
from goldenami.infra import network
from goldenami.model import image
from goldenami.model.resources import DataVolumeState


def find_volume(ctx: Context) -> DataVolumeState | None:
    """The volume of the service, by its tag.

    Raises:
        GateError: There are several.
    """
    found = ebs.find(ctx.aws, ctx.name)
    if len(found) > 1:
        raise GateError(
            f"several volumes have the tag {image.VOLUME_TAG} = {ctx.name}: {', '.join(one.id for one in found)}",
            state="None of them was touched.",
            next="take the tag off all but one (aws ec2 delete-tags)",
        )
    return found[0] if found else None


def ensure_volume(ctx: Context, place: network.Network, run: str) -> DataVolumeState:
    """The volume, in the zone that the group launches in: made when there is none, grown when the recipe wants more.

    Raises:
        GateError: What is there does not fit; the message says the way out.
    """
    wanted, zone = ctx.recipe.database.volume, vpc.zone_of(ctx.aws, place.subnets[0])
    found = ebs.find(ctx.aws, ctx.name)
    if reasons := list(volume_plan.volume_blockers(ctx.recipe, found, zone)):
        raise GateError("; ".join(reasons), state="No volume was touched.", next="./invoke fleet.show")
    if not found:
        key = ctx.target.kms_key_id
        made = ebs.create(ctx.aws, zone, wanted.size_gib, wanted.type, key, _tags(ctx), f"{run}-data")
        ebs.wait_available(ctx.aws, ctx.clock, made)
        ctx.progress.info(f"made the volume {made} ({wanted.size_gib} GiB, encrypted, {zone}) for the data")
        return DataVolumeState(made, zone, wanted.size_gib, "available")
    there = found[0]
    if there.size < wanted.size_gib:
        ebs.grow(ctx.aws, there.id, wanted.size_gib)
        ctx.progress.info(
            f"{there.id} grows to {wanted.size_gib} GiB; its file system, when it is mounted the next time"
        )
    return there


def attach(ctx: Context, instance: str, *, snapshot: str = "", stop_holder: bool = False) -> DataVolumeState:
    """Bring the volume to an instance, from wherever it is. Safe to repeat.

    Args:
        shop: Where.
        instance: Who is to have it.
        why: Keep a snapshot of it first, once nobody uses it, with this description; none when empty.
        stop: Stop the instance that has it where that does not let go of it: nobody needs that one any more.

    Raises:
        GateError: There is no volume, or the instance that has it does not let go of it.
        AwsError: It does not come to the instance; it is whole all the same.
    """
    found = find_volume(ctx)
    if found is None:
        raise GateError(
            f"there is no volume with the tag {image.VOLUME_TAG} = {ctx.name}", next="./invoke fleet.create makes it"
        )
    there = instances.get(ctx.aws, found.instance) if found.instance else None
    for step in volume_plan.attach_steps(found, instance, there.state if there else "", snapshot=bool(snapshot)):
        if step == "release":
            _release(ctx, found.instance, stop=stop_holder)
        elif step == "snapshot":
            kept = ebs.snapshot(ctx.aws, found.id, snapshot, _tags(ctx))
            ctx.progress.info(f"{kept} keeps what {found.id} holds now")
        elif step == "detach":
            ebs.detach(ctx.aws, found.id, found.instance)
        elif step == "wait":
            ebs.wait_available(ctx.aws, ctx.clock, found.id)
        else:
            ebs.attach(ctx.aws, ctx.clock, found.id, instance)
            ctx.progress.info(f"{found.id} is attached to {instance}")
    return found


def attach_and_mount(ctx: Context, instance: str, *, snapshot: str = "", stop_holder: bool = False) -> None:
    """Bring the volume to an instance, and let its server start on it; the service stays down until it is opened.

    Raises:
        GateError: The instance refuses what is on it (another major version, not ours, damaged); nothing was changed.
        AwsError: It does not come to the instance.
    """
    attach(ctx, instance, snapshot=snapshot, stop_holder=stop_holder)
    agent.run(ctx, instance, "mount")


def unmount(ctx: Context, instance: str) -> None:
    """Let an instance unmount it, before it ends; one that does not answer ends as it is, and its rows stay on the volume."""
    try:
        agent.run(ctx, instance, "unmount")
    except GoldenError as error:
        ctx.progress.info(f"{instance} does not unmount its volume first ({error.message}); its journal keeps it whole")


def delete_expired_snapshots(ctx: Context) -> None:
    """Let snapshots go that are older than backups are kept; the newest stays in any case."""
    found = ebs.snapshots(ctx.aws, ctx.name)
    for snapshot in volume_plan.expired_snapshots(found, ctx.clock.now(), ctx.recipe.backup.keep_days):
        ebs.delete_snapshot(ctx.aws, snapshot)


def is_attached_to(ctx: Context, instance: str) -> bool:
    """Whether an instance has it, as EC2 says."""
    found = find_volume(ctx)
    return found is not None and found.instance == instance


def _tags(ctx: Context) -> dict[str, str]:
    """What finds the volume, and its snapshots, again."""
    return {**network.resource_tags(ctx), "Name": f"{ctx.name}-data", image.VOLUME_TAG: ctx.name}


def _release(ctx: Context, instance: str, *, stop: bool) -> None:
    try:
        agent.run(ctx, instance, "unmount")
    except (GateError, AwsError) as error:
        if not stop:
            raise
        ctx.progress.info(f"{instance} does not let go of the volume ({error.message}): stopping it")
        instances.stop(ctx.aws, ctx.clock, instance)
