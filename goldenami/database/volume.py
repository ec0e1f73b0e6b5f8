"""The EBS volume with PostgreSQL's data: create it once, and attach it to the primary.

The instance that EC2 has it attached to is the primary. Every step is idempotent, so an interrupted one is repeated.
"""

from __future__ import annotations

from goldenami.aws import ebs, images, instances, vpc
from goldenami.context import Context
from goldenami.database import agent, volume_plan
from goldenami.errors import AwsError, GateError, GoldenError
from goldenami.infra.network import Network, resource_tags
from goldenami.model import image
from goldenami.model.resources import DataVolumeState


def find_volume(ctx: Context) -> DataVolumeState | None:
    """Return the service's volume, by its tag; None if there is none. Raise GateError if several volumes have the tag."""
    volumes = ebs.list_volumes(ctx.aws, ctx.name)
    if len(volumes) > 1:
        raise GateError(
            f"several volumes have the tag {image.VOLUME_TAG} = {ctx.name}: {', '.join(v.id for v in volumes)}",
            state="No changes were made.",
            next="remove the tag from all but one (aws ec2 delete-tags)",
        )
    return volumes[0] if volumes else None


def ensure_volume(ctx: Context, network: Network, run: str) -> DataVolumeState:
    """Create the volume in the zone that the group launches in, or grow it; raise GateError if the existing one does not fit."""
    desired, zone = ctx.recipe.database.volume, vpc.subnet_zone(ctx.aws, network.subnets[0])
    volumes = ebs.list_volumes(ctx.aws, ctx.name)
    if reasons := list(volume_plan.volume_blockers(ctx.recipe, volumes, zone)):
        raise GateError("; ".join(reasons), state="No changes were made.", next="./invoke fleet.show")
    if not volumes:
        key = ctx.target.kms_key_id
        created = ebs.create(ctx.aws, zone, desired.size_gib, desired.type, key, _tags(ctx), f"{run}-data")
        ebs.wait_available(ctx.aws, ctx.clock, created)
        ctx.progress.info(f"created the data volume {created} ({desired.size_gib} GiB, encrypted, {zone})")
        return DataVolumeState(created, zone, desired.size_gib, "available")
    volume = volumes[0]
    if volume.size < desired.size_gib:
        ebs.resize(ctx.aws, volume.id, desired.size_gib)
        ctx.progress.info(
            f"growing {volume.id} to {desired.size_gib} GiB; its file system grows when it is mounted the next time"
        )
    return volume


def replace_lost(ctx: Context, network: Network, run: str) -> None:
    """Create the volume again from its newest snapshot, or blank; one that has failed is kept without its tag. Idempotent."""
    failed = [volume.id for volume in ebs.list_volumes(ctx.aws, ctx.name) if volume.state == "error"]
    if failed:
        images.untag(ctx.aws, failed, [image.VOLUME_TAG])
        ctx.progress.info(f"{', '.join(failed)} has failed; it is kept, and no longer used")
    snapshot = max(ebs.list_snapshots(ctx.aws, ctx.name), key=lambda s: s.started, default=None)
    desired, zone = ctx.recipe.database.volume, vpc.subnet_zone(ctx.aws, network.subnets[0])
    if snapshot is not None and not ebs.list_volumes(ctx.aws, ctx.name):
        created = ebs.create(
            ctx.aws, zone, desired.size_gib, desired.type, ctx.target.kms_key_id, _tags(ctx), f"{run}-data", snapshot.id
        )
        ebs.wait_available(ctx.aws, ctx.clock, created)
        ctx.progress.info(f"created the data volume {created} from {snapshot.id} of {snapshot.started:%Y-%m-%d %H:%M}")
    ensure_volume(ctx, network, run)


def attach(ctx: Context, instance: str, *, snapshot: str = "", stop_holder: bool = False) -> DataVolumeState:
    """Attach the volume to an instance, and detach it from another one first. Idempotent.

    Args:
        snapshot: Description of a snapshot that is taken while the volume is not mounted; no snapshot if empty.
        stop_holder: True to stop the instance that has the volume if it does not unmount it.

    Raises:
        GateError: There is no volume, or the instance that has it does not unmount it.
    """
    volume = find_volume(ctx)
    if volume is None:
        reason = f"there is no volume with the tag {image.VOLUME_TAG} = {ctx.name}"
        raise GateError(reason, next="./invoke fleet.create creates it")
    holder = instances.get(ctx.aws, volume.instance) if volume.instance else None
    for step in volume_plan.attach_steps(volume, instance, holder.state if holder else "", snapshot=bool(snapshot)):
        if step == "unmount":
            _release(ctx, volume.instance, stop=stop_holder)
        elif step == "snapshot":
            created = ebs.create_snapshot(ctx.aws, volume.id, snapshot, _tags(ctx))
            ctx.progress.info(f"created the snapshot {created} of {volume.id}")
        elif step == "detach":
            ebs.detach(ctx.aws, volume.id, volume.instance)
        elif step == "wait":
            ebs.wait_available(ctx.aws, ctx.clock, volume.id)
        else:
            ebs.attach(ctx.aws, ctx.clock, volume.id, instance)
            ctx.progress.info(f"{volume.id} is attached to {instance}")
    return volume


def attach_and_mount(ctx: Context, instance: str, *, snapshot: str = "", stop_holder: bool = False) -> None:
    """Attach the volume to an instance, mount it, and start PostgreSQL on it; the service stays down until it is resumed.

    Raises:
        GateError: The instance cannot use the data (another major version, a foreign or damaged volume); it is unchanged.
    """
    attach(ctx, instance, snapshot=snapshot, stop_holder=stop_holder)
    agent.run(ctx, instance, "mount")


def unmount(ctx: Context, instance: str) -> None:
    """Unmount the volume before an instance is terminated. A failure is only reported: the data on the volume stays intact."""
    try:
        agent.run(ctx, instance, "unmount")
    except GoldenError as error:
        ctx.progress.info(f"{instance} did not unmount its volume ({error.message}); its journal keeps the data intact")


def delete_expired_snapshots(ctx: Context) -> None:
    """Delete snapshots that are older than `[backup] keep_days`; the newest one is always kept."""
    snapshots = ebs.list_snapshots(ctx.aws, ctx.name)
    for snapshot in volume_plan.expired_snapshots(snapshots, ctx.clock.now(), ctx.recipe.backup.retention_days):
        ebs.delete_snapshot(ctx.aws, snapshot)


def is_attached_to(ctx: Context, instance: str) -> bool:
    """Return True if EC2 has the volume attached to an instance."""
    volume = find_volume(ctx)
    return volume is not None and volume.instance == instance


def _tags(ctx: Context) -> dict[str, str]:
    return {**resource_tags(ctx), "Name": f"{ctx.name}-data", image.VOLUME_TAG: ctx.name}


def _release(ctx: Context, instance: str, *, stop: bool) -> None:
    try:
        agent.run(ctx, instance, "unmount")
    except (GateError, AwsError) as error:
        if not stop:
            raise
        ctx.progress.info(f"stopping {instance}, which did not unmount the volume ({error.message})")
        instances.stop(ctx.aws, ctx.clock, instance)
