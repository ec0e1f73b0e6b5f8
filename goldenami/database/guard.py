"""The guard: nothing that holds rows is replaced or ended as if it held none, whatever the recipe says."""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.context import Context
from goldenami.database import agent, backup, volume
from goldenami.database.guard_plan import InstanceData, data_blockers
from goldenami.errors import GateError, GoldenError
from goldenami.model.image import Image
from goldenami.state.lock import HeldLock


def inspect_instances(ctx: Context, instances: Sequence[str]) -> list[InstanceData]:
    """What each of these instances keeps."""
    return [agent.inspect(ctx, instance) for instance in instances]


def raise_if_data_would_be_lost(ctx: Context, instances: Sequence[str], image: Image) -> None:
    """Stop here when these instances must not be replaced by ones of this image.

    Raises:
        GateError: With every reason.
    """
    if found := blockers(ctx, instances, image):
        raise GateError("; ".join(found), state="Nothing was changed.", next="./invoke instances")


def blockers(ctx: Context, instances: Sequence[str], image: Image) -> list[str]:
    """Why these instances must not be replaced by ones of this image; empty when they may. Nothing is changed."""
    with ctx.progress.phase(f"looking for rows on {len(instances)} instance(s)"):
        found = inspect_instances(ctx, instances)
    for one in found:
        if not one.reachable:
            ctx.progress.info(f"nobody could look at {one.instance}: {one.reason}")
    return list(data_blockers(ctx.recipe, found, image))


def backup_before_termination(
    ctx: Context, held_lock: HeldLock, run: str, instances: Sequence[str], why: str, *, lose_data: bool = False
) -> list[str]:
    """Before instances are ended for good: stop the writes of those that hold rows, and back them up; within a pause, which lets
    them serve again should it fail (flows/pausing.py).

    Args:
        shop: Where.
        claim: Ours, which is shown to live meanwhile.
        run: The run in whose name the backups are.
        instances: The instances.
        why: What ends them.
        lose: Go on where rows cannot be saved; the operator has said that they may be lost.

    Returns:
        The backups' ids.

    Raises:
        GateError: Rows are there that could not be saved; their instance serves on.
    """
    made = []
    for number, one in enumerate(inspect_instances(ctx, instances)):
        if one.volume or (
            not one.reachable and ctx.recipe.database.on_volume and volume.is_attached_to(ctx, one.instance)
        ):
            made += _back_up_and_unmount(ctx, held_lock, one, f"{run}-{'abcdefghij'[number]}", why, lose=lose_data)
            continue
        unsure = not one.reachable and ctx.recipe.database.on_instance
        if not one.has_data and not unsure:
            continue
        if lose_data:
            ctx.progress.info(f"LOSING the rows of {one.instance}, because --lose-data says so")
            continue
        identity = f"{run}-{'abcdefghij'[number]}"
        try:
            if unsure:
                raise GateError(f"nobody can look at them: {one.reason}")
            agent.ensure_backup_bucket(ctx)
            agent.run(ctx, one.instance, "stop-writes", backup=identity)
            backup.take_backup(ctx, one.instance, identity, why, heartbeat=held_lock.heartbeat)
        except GoldenError as error:
            raise GateError(
                f"the rows of {one.instance} could not be saved: {error.message}",
                state="It serves on, with all of them.",
                next="mend that; or the same command with --lose-data, which really loses them",
            ) from None
        made.append(identity)
        ctx.progress.info(f"every row of {one.instance} is in the backup {identity} (./invoke db.restore)")
    return made


def _back_up_and_unmount(
    ctx: Context, held_lock: HeldLock, one: InstanceData, identity: str, why: str, *, lose: bool
) -> list[str]:
    """What is on a volume outlives its instance: a last backup, and a clean end; without, where nobody can ask for them.

    Raises:
        GateError: The backup did not work; the instance serves on.
    """
    made = []
    if one.reachable and one.server_running and not lose:
        try:
            agent.ensure_backup_bucket(ctx)
            agent.run(ctx, one.instance, "stop-writes", backup=identity)
            backup.take_backup(ctx, one.instance, identity, why, heartbeat=held_lock.heartbeat)
        except GoldenError as error:
            raise GateError(
                f"the last backup of {one.instance} failed: {error.message}",
                state="It serves on, with all its rows.",
                next="mend that; or the same command with --lose-data, which goes on without (the volume stays)",
            ) from None
        made.append(identity)
    if one.reachable:
        volume.unmount(ctx, one.instance)
    ctx.progress.info(f"every row of {one.instance} stays on {one.volume or 'its volume'}")
    return made
