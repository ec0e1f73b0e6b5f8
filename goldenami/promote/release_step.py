"""The release step of a promotion or deployment: before any new instance serves, on an instance of the image outside the fleet.

With a database on the instance, the transferred copy is the rehearsal, and database/transfer.py applies the step to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.bake import inventory
from goldenami.context import Context
from goldenami.database import agent, backup, release, release_instance
from goldenami.database.release import ReleaseError
from goldenami.database.release_plan import AppliedStep, SchemaChange, rehearsal_blocker, schema_change as compare
from goldenami.errors import GateError
from goldenami.infra import describe
from goldenami.infra.health import wait_until_instance_healthy
from goldenami.model.fleet import FleetState
from goldenami.model.image import Image
from goldenami.promote import history
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout.context import RolloutContext

_UNCHANGED = "The live database and the fleet are unchanged."


def schema_change(
    ctx: Context, image: Image | None, running: Image | None, fleet_state: FleetState
) -> SchemaChange | None:
    """Return how the migrations of an image differ from those of the database, which a running instance is asked for.

    Returns:
        None if the recipe has no release step, or the image runs already.
    """
    if not ctx.recipe.release.is_configured or image is None or (running and running.id == image.id):
        return None
    if fleet_state.group is not None:
        serving = [member.id for member in fleet_state.group.members if member.serving]
    else:
        serving = [instance.id for instance in describe.fleet_instances(ctx) if instance.state == "running"]
    applied = release.read_applied(ctx, serving[0]) if serving else None
    return compare(ctx.recipe, inventory.load(ctx, image), inventory.load(ctx, running) if running else None, applied)


def run(rollout: RolloutContext, preflight: PromotionPreflight, version: int, why: str) -> None:
    """Rehearse what is pending on a copy of today's data, then apply it to the live database.

    Raises:
        ReleaseError: A migration failed. The live database is as before it, and the old instances keep serving.
        GateError: The image does not become healthy, or its migrations do not fit the database, which is unchanged.
    """
    ctx, request = rollout.ctx, preflight.request
    image, schema = request.image, request.schema
    assert image is not None
    if request.transfers_data or schema is None or not schema.needs_step:
        return
    template = preflight.fleet_state.template or describe.describe_fleet(ctx).template
    assert template is not None
    tags = request.overrides.get("TagSpecifications", ())
    launched = release_instance.launched(ctx, rollout.run.id, template.id, version, tags)
    with ctx.progress.phase("release step"), launched as instance:
        rollout.record("released", f"{instance} launched outside the fleet for the release step", instance)
        try:  # with its temporary database: a bad image fails before it changes the live one
            grace = ctx.recipe.fleet.health_check_grace_period
            wait_until_instance_healthy(ctx, rollout.held_lock, instance, grace=grace)
        except GateError as error:
            rollout.record("failed", error.message)
            raise history.record_rollback(
                rollout, preflight, version, why, error.message, state=_UNCHANGED, evidence=()
            ) from None
        pending = _pending(ctx, rollout.run.id, instance)
        if not pending:
            rollout.record("migrated", "nothing is pending on the live database")
            return
        if request.rehearse:
            _rehearse(rollout, instance, pending)
        rollout.held_lock.verify_held()
        try:
            steps = release.apply(ctx, rollout.run.id, instance, rollout.held_lock.heartbeat)
        except ReleaseError as error:
            rollout.record("failed", error.message)
            history.record_rollback(rollout, preflight, version, why, error.message, state="", evidence=())
            state = f"{error.state} The old instances keep serving; the production parameter is unchanged.".lstrip()
            raise ReleaseError(error.message, state=state, next=error.next) from None
        rollout.record("migrated", f"applied to the live database: {_listed(steps)}")
        rollout.run.record(migrations=[step.name for step in steps])


def _pending(ctx: Context, run: str, instance: str) -> Sequence[str]:
    """Return what is pending according to the image; raise GateError if it was changed after it was applied."""
    plan = release.read_plan(ctx, run, instance)
    if plan.get("command"):
        return ["the release command"]
    if changed := plan.get("changed"):
        raise GateError(
            f"{', '.join(changed)} changed after it was applied to the database", state=_UNCHANGED, next="./invoke bake"
        )
    pending: Sequence[str] = plan.get("pending", ())
    return pending


def _rehearse(rollout: RolloutContext, instance: str, pending: Sequence[str]) -> None:
    ctx, run, heartbeat = rollout.ctx, rollout.run.id, rollout.held_lock.heartbeat
    if reason := rehearsal_blocker(ctx.recipe, release.database_size(ctx, instance)):
        raise GateError(reason, state=_UNCHANGED, next="the same command with --no-rehearsal")
    agent.ensure_backup_bucket(ctx)
    manifest = backup.take_backup(ctx, instance, f"{run}-release", f"before {', '.join(pending)}", heartbeat=heartbeat)
    try:
        steps = release.rehearse(ctx, run, instance, manifest.id, heartbeat)
    except ReleaseError as error:
        rollout.record("failed", f"rehearsal on today's data: {error.message}")
        state = f"It failed in the rehearsal, on a copy of the data. {_UNCHANGED}"
        raise ReleaseError(error.message, state=state, next=error.next) from None
    rollout.record("rehearsed", f"rehearsed on a copy of {manifest.fingerprint.rows} row(s): {_listed(steps)}")


def _listed(steps: Sequence[AppliedStep]) -> str:
    return ", ".join(map(str, steps)) or "nothing"
