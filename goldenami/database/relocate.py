"""Change the storage mode as part of a switchover: the role, the database's host name, and the data in the previous storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from goldenami.aws import auto_scaling, images, instances, parameters
from goldenami.context import Context
from goldenami.database import agent, backup, membership, transfer, volume
from goldenami.database.guard_plan import InstanceData
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError, GoldenError
from goldenami.infra import network, role
from goldenami.model import image

# Storage that survives the instance, by storage mode.
_SURVIVES_TERMINATION = {"rds": "DB instance", "volume": "volume"}


def prepare(ctx: Context, switchover: Switchover) -> None:
    """Prepare the new storage before the target is launched. Instances in service are not affected."""
    change = switchover.storage_change
    if change is None:
        return
    if change.mode != "instance":  # until it is replaced, the source needs permissions that the recipe no longer lists
        role.ensure_role(ctx)
    if change.mode == "volume":
        volume.ensure_volume(ctx, network.find_network(ctx), switchover.run)
    if change.parameter:
        parameters.overwrite(ctx.aws, change.parameter, change.host)
        ctx.progress.info(f"{change.parameter} set to {change.host} (before: {change.previous_host or 'not set'})")


def verify_target(ctx: Context, switchover: Switchover) -> None:
    """Check that the target uses the new storage, and back up what the new storage holds; before writes are stopped.

    Raises:
        GateError: The target uses another storage mode, or the existing data is not to be replaced or cannot be backed up.
    """
    change, target = switchover.storage_change, switchover.target
    if change is None:
        return
    storage_mode = agent.run(ctx, target, "inspect")["storage_mode"]
    if storage_mode != change.mode:
        raise GateError(f'the image of {target} was baked for the storage mode "{storage_mode}", not "{change.mode}"')
    if change.mode == "volume":
        volume.attach_and_mount(ctx, target)
        data = InstanceData(target, **agent.run(ctx, target, "inspect"))
        if data.has_data and not change.replace:
            raise GateError(
                f"the volume already has {data.contents}",
                next="the same command with --replace, which backs them up and replaces them",
            )
    if change.replace:
        agent.ensure_backup_bucket(ctx)
        manifest = backup.take_backup(ctx, target, f"{switchover.run}-before", f"before db.migrate --to {change.mode}")
        ctx.progress.info(f"backed up the data in the new storage: {manifest.id}")


def relaunch_target(ctx: Context, switchover: Switchover) -> Switchover:
    """Launch another target if it was terminated and the data survived on the volume or the DB instance.

    Raises:
        GateError: The new target cannot mount the volume, or does not serve; recovery finds it again.
    """
    change = switchover.storage_change
    terminated = instances.is_terminated(ctx.aws, switchover.target)
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if change is None or change.mode == "instance" or switchover.is_reversal or not terminated or group is None:
        return switchover
    if any(m.id == switchover.target for m in group.members):
        membership.detach(ctx, group, switchover.target)
    subnet, token = network.find_network(ctx).subnets[0], f"{switchover.run}-again"
    target = instances.launch_from_template(ctx.aws, group.template_id, switchover.version, subnet, token)
    ctx.progress.info(
        f"{switchover.target} was terminated; the {_SURVIVES_TERMINATION[change.mode]} has all data: {target.id} replaces it"
    )
    instances.wait_running(ctx.aws, ctx.clock, target.id)
    if change.mode == "volume":  # saved only once it has the volume: a saved target is attached to the group
        volume.attach_and_mount(ctx, target.id)
        transfer.resume_service(ctx, target.id)
    return transfer.save(ctx, replace(switchover, target=target.id))


def max_size(ctx: Context, switchover: Switchover) -> int:
    """Return the group's maximum size after the switchover, which depends on the new storage mode."""
    changed = switchover.storage_change is not None and not switchover.is_reversal
    return ctx.recipe.fleet.max if changed and ctx.recipe.database.on_instance else switchover.max_size


def release_source(ctx: Context, switchover: Switchover) -> None:
    """Untag the volume that had the data before, so that no instance uses the stale data on it."""
    change = switchover.storage_change
    if change is None or change.previous_mode != "volume" or (stale := volume.find_volume(ctx)) is None:
        return
    images.untag(ctx.aws, [stale.id], [image.VOLUME_TAG])
    ctx.progress.info(f"{stale.id} is no longer used; it keeps the data from before. Delete it when you do not need it")


def undo(ctx: Context, switchover: Switchover, launched: Sequence[str]) -> None:
    """Undo a change of the storage mode: mark the data in the new storage as stale, and restore the host name. Idempotent."""
    change = switchover.storage_change
    if change is None:
        return
    if change.mode != "instance" and switchover.step != "launching":
        for instance in launched:
            try:
                agent.run(ctx, instance, "discard", backup=transfer.backup_id(switchover))
            except GoldenError as error:
                ctx.progress.info(
                    f"cannot mark the data in the new storage as stale: {error.message}; if there is any, the next"
                    " ./invoke db.migrate needs --replace"
                )
    current = parameters.get(ctx.aws, change.parameter) if change.parameter else None
    if current is None or current.value != change.host:
        return
    if change.previous_host:
        parameters.overwrite(ctx.aws, change.parameter, change.previous_host)
    else:
        parameters.delete(ctx.aws, change.parameter)
    ctx.progress.info(f"{change.parameter} set back to {change.previous_host or 'nothing'}")
