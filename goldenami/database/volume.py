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


def find_volume(shop: Context) -> DataVolumeState | None:
    """The volume of the service, by its tag.

    Raises:
        GateError: There are several.
    """
    found = ebs.find(shop.aws, shop.name)
    if len(found) > 1:
        raise GateError(
            f"several volumes have the tag {image.VOLUME_TAG} = {shop.name}: {', '.join(one.id for one in found)}",
            state="None of them was touched.",
            next="take the tag off all but one (aws ec2 delete-tags)",
        )
    return found[0] if found else None


def ensure_volume(shop: Context, place: network.Network, run: str) -> DataVolumeState:
    """The volume, in the zone that the group launches in: made when there is none, grown when the recipe wants more.

    Raises:
        GateError: What is there does not fit; the message says the way out.
    """
    wanted, zone = shop.recipe.database.volume, vpc.zone_of(shop.aws, place.subnets[0])
    found = ebs.find(shop.aws, shop.name)
    if reasons := list(volume_plan.volume_blockers(shop.recipe, found, zone)):
        raise GateError("; ".join(reasons), state="No volume was touched.", next="./invoke fleet.show")
    if not found:
        key = shop.target.kms_key_id
        made = ebs.create(shop.aws, zone, wanted.size_gib, wanted.type, key, _tags(shop), f"{run}-data")
        ebs.wait_available(shop.aws, shop.clock, made)
        shop.progress.say(f"made the volume {made} ({wanted.size_gib} GiB, encrypted, {zone}) for the data")
        return DataVolumeState(made, zone, wanted.size_gib, "available")
    there = found[0]
    if there.size < wanted.size_gib:
        ebs.grow(shop.aws, there.id, wanted.size_gib)
        shop.progress.say(
            f"{there.id} grows to {wanted.size_gib} GiB; its file system, when it is mounted the next time"
        )
    return there


def attach(shop: Context, instance: str, *, why: str = "", stop: bool = False) -> DataVolumeState:
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
    found = find_volume(shop)
    if found is None:
        raise GateError(
            f"there is no volume with the tag {image.VOLUME_TAG} = {shop.name}", next="./invoke fleet.create makes it"
        )
    there = instances.get(shop.aws, found.instance) if found.instance else None
    for step in volume_plan.steps(found, instance, there.state if there else "", keep=bool(why)):
        if step == "release":
            _release(shop, found.instance, stop=stop)
        elif step == "snapshot":
            kept = ebs.snapshot(shop.aws, found.id, why, _tags(shop))
            shop.progress.say(f"{kept} keeps what {found.id} holds now")
        elif step == "detach":
            ebs.detach(shop.aws, found.id, found.instance)
        elif step == "wait":
            ebs.wait_available(shop.aws, shop.clock, found.id)
        else:
            ebs.attach(shop.aws, shop.clock, found.id, instance)
            shop.progress.say(f"{found.id} is attached to {instance}")
    return found


def attach_and_mount(shop: Context, instance: str, *, why: str = "", stop: bool = False) -> None:
    """Bring the volume to an instance, and let its server start on it; the service stays down until it is opened.

    Raises:
        GateError: The instance refuses what is on it (another major version, not ours, damaged); nothing was changed.
        AwsError: It does not come to the instance.
    """
    attach(shop, instance, why=why, stop=stop)
    agent.run(shop, instance, "take")


def unmount(shop: Context, instance: str) -> None:
    """Let an instance unmount it, before it ends; one that does not answer ends as it is, and its rows stay on the volume."""
    try:
        agent.run(shop, instance, "release")
    except GoldenError as error:
        shop.progress.say(f"{instance} does not unmount its volume first ({error.message}); its journal keeps it whole")


def delete_expired_snapshots(shop: Context) -> None:
    """Let snapshots go that are older than backups are kept; the newest stays in any case."""
    found = ebs.snapshots(shop.aws, shop.name)
    for snapshot in volume_plan.expired_snapshots(found, shop.clock.now(), shop.recipe.backup.keep_days):
        ebs.delete_snapshot(shop.aws, snapshot)


def is_attached_to(shop: Context, instance: str) -> bool:
    """Whether an instance has it, as EC2 says."""
    found = find_volume(shop)
    return found is not None and found.instance == instance


def _tags(shop: Context) -> dict[str, str]:
    """What finds the volume, and its snapshots, again."""
    return {**network.resource_tags(shop), "Name": f"{shop.name}-data", image.VOLUME_TAG: shop.name}


def _release(shop: Context, instance: str, *, stop: bool) -> None:
    try:
        agent.run(shop, instance, "release")
    except (GateError, AwsError) as error:
        if not stop:
            raise
        shop.progress.say(f"{instance} does not let go of the volume ({error.message}): stopping it")
        instances.stop(shop.aws, shop.clock, instance)
