"""Read what a recovery is decided on: instances and their data, the image to launch, and the newest backup that is intact."""

from __future__ import annotations

import json
from collections.abc import Iterable

from goldenami.aws import ebs, images, instances, load_balancers
from goldenami.context import Context
from goldenami.database import agent, backup
from goldenami.database.backup_model import Manifest, restore_blockers
from goldenami.errors import GoldenError, UsageError
from goldenami.fleet import create
from goldenami.fleet.recover_plan import RecoveryInstance, RecoveryState
from goldenami.infra import describe, launch_template_plan
from goldenami.infra.health import health_url
from goldenami.model.fleet import FleetState
from goldenami.model.image import Image
from goldenami.model.resources import Instance
from goldenami.tools import http


def read(ctx: Context, ami: str = "", *, restarted: bool = False) -> RecoveryState:
    """Read the state of the fleet for a recovery.

    Args:
        ami: Image of a new instance, if the operator names one.
        restarted: True if this recovery has started the instances.
    """
    fleet_state, database = describe.describe_fleet(ctx), ctx.recipe.database
    tagged = instances.list_tagged(ctx.aws, launch_template_plan.FLEET_TAG, ctx.name)
    serving = _serving(ctx, fleet_state, tagged)
    found = []
    for instance in tagged:
        inspects = instance.state == "running" and (database.on_instance or instance.id not in serving)
        data = agent.inspect(ctx, instance.id) if inspects else None
        found.append(RecoveryInstance(instance.id, instance.state, instance.id in serving, data))
    image, note = _image(ctx, fleet_state, ami)
    manifest, damaged = _newest_backup(ctx, image) if database.on_instance else (None, ())
    volumes = ebs.list_volumes(ctx.aws, ctx.name) if database.on_volume else []
    snapshots = ebs.list_snapshots(ctx.aws, ctx.name) if database.on_volume else []
    group = fleet_state.group
    return RecoveryState(
        mode=database.mode,
        instances=tuple(found),
        desired=max(1, group.desired) if group else 1,
        members=tuple(member.id for member in group.members) if group else (),
        image=image,
        image_note=note,
        backup=manifest,
        damaged=damaged,
        volume_lost=database.on_volume and all(v.state == "error" for v in volumes),
        snapshot=max((f"{s.started:%Y-%m-%dT%H:%M}" for s in snapshots), default=""),
        restarted=restarted,
    )


def serving_instances(ctx: Context) -> list[str]:
    """Return the instances that users reach now: healthy for the group and the load balancer, or by our own probe."""
    tagged = instances.list_tagged(ctx.aws, launch_template_plan.FLEET_TAG, ctx.name)
    return _serving(ctx, describe.describe_fleet(ctx), tagged)


def _serving(ctx: Context, fleet_state: FleetState, tagged: Iterable[Instance]) -> list[str]:
    running = {instance.id: instance for instance in tagged if instance.state == "running"}
    if fleet_state.group is not None:
        members = [member for member in fleet_state.group.members if member.serving and member.id in running]
        return [m.id for m in members if m.target or _answers(ctx, running[m.id])]
    if not is_deployed_alone(fleet_state):
        return []
    arn = load_balancers.get_target_group(ctx.aws, ctx.names.target_group)
    if arn is None:
        return [identity for identity, instance in running.items() if _answers(ctx, instance)]
    targets = load_balancers.list_targets(ctx.aws, arn)
    return [target.id for target in targets if target.state == "healthy" and target.id in running]


def is_deployed_alone(fleet_state: FleetState) -> bool:
    """Return True if `deploy` put the image in production: a service without a group, not one whose group was deleted."""
    try:
        note = json.loads(fleet_state.pointer.note) if fleet_state.pointer else {}
    except ValueError:
        return False
    return isinstance(note, dict) and note.get("why") == "deploy"


def _answers(ctx: Context, instance: Instance) -> bool:
    return bool(instance.address) and http.probe(health_url(ctx.recipe, instance.address), timeout=3).ok


def _image(ctx: Context, fleet_state: FleetState, ami: str) -> tuple[Image | None, str]:
    if not ami:
        pointer, source = fleet_state.pointer, fleet_state.source_version
        return create.released_image(ctx, pointer.ami if pointer else source.image if source else "")
    image = images.get(ctx.aws, ami)
    if image is None or image.state != "available" or not image.verified:
        raise UsageError(
            f"{ami} is not an available, verified image", state="No changes were made.", next="./invoke images"
        )
    return image, ""


def _newest_backup(ctx: Context, image: Image | None) -> tuple[Manifest | None, tuple[str, ...]]:
    """Return the newest backup that is intact and that the image's PostgreSQL can read, and why newer ones are not used."""
    major = image.tags.get("PostgreSQL", "") if image else ""
    damaged: list[str] = []
    try:
        backups = backup.list_backups(ctx)
    except GoldenError as error:
        return None, (error.message,)
    for manifest in reversed(backups):
        reasons = list(restore_blockers(manifest, ctx.recipe, int(major) if major.isdigit() else manifest.major))
        if not reasons:
            try:
                with ctx.progress.phase(f"verifying {manifest.id}"):
                    backup.verify_backup(ctx, manifest)
                return manifest, tuple(damaged)
            except GoldenError as error:
                reasons = [error.message]
        damaged += [f"{manifest.id} is not used: {reason}" for reason in reasons]
    return None, tuple(damaged)
