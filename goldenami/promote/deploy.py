"""Deploy to a service without an Auto Scaling group: replace its instance by one of another image."""

from __future__ import annotations

from dataclasses import replace

from goldenami.aws import auto_scaling, instances, load_balancers
from goldenami.context import Context
from goldenami.database import guard, recovery, transfer, volume
from goldenami.database.switchover_model import Switchover
from goldenami.errors import DataError, GateError, UsageError
from goldenami.infra import describe, network
from goldenami.promote import history, promote, release_step, request
from goldenami.promote.model import DeployPreflight, DeployResult, PromoteOptions
from goldenami.rollout.context import RolloutContext
from goldenami.rollout.replace_instance import InstanceReplacement
from goldenami.rollout.request_model import RolloutRequest
from goldenami.state import lock, runs


def preflight(ctx: Context, options: PromoteOptions) -> DeployPreflight:
    """Read the fleet and plan the deployment. Changes nothing.

    Raises:
        UsageError: There is a group, which is for `promote`; or the options select no image.
    """
    found = _preflight(ctx, _build_request(ctx, options))
    blockers, image = found.preflight.plan.blockers, found.preflight.request.image
    if found.inspected and image is not None and not recovery.has_unfinished(ctx):
        blockers = (*blockers, *guard.blockers(ctx, found.inspected, image))
    return replace(found, preflight=promote.compare_contents(ctx, found.preflight), blockers=blockers)


def _build_request(ctx: Context, options: PromoteOptions) -> RolloutRequest:
    if auto_scaling.get(ctx.aws, ctx.names.group) is not None:
        raise UsageError(
            f"cannot deploy a single instance: {ctx.names.group} exists, whose instances are replaced by promote",
            state="No changes were made.",
            next="./invoke promote --candidate",
        )
    return request.build_request(ctx, options)


def _preflight(ctx: Context, rollout_request: RolloutRequest) -> DeployPreflight:
    database, ami = ctx.recipe.database, rollout_request.ami
    current = describe.fleet_instances(ctx)
    # An earlier run that was killed after its launch has left one of this image.
    existing = [i for i in current if i.image == ami and i.state in ("pending", "running")]
    replaced = [*(i for i in current if i.image != ami), *existing[1:]]
    inspected = []
    if replaced and database.on_instance and not database.on_volume:
        inspected = [i.id for i in current]  # each has data of its own, also those that stay or are stopped
    elif replaced:
        inspected = [i.id for i in replaced if i.state == "running"]
    plan = promote.decide(ctx, rollout_request, describe.describe_fleet(ctx))
    return DeployPreflight(plan, tuple(existing), tuple(replaced), tuple(inspected))


def deploy(ctx: Context, options: PromoteOptions) -> DeployResult:
    """Replace the instances of a service without a group by one of another image.

    Raises:
        UsageError: There is a group, which is for `promote`.
        GateError: The preflight blocks it, or the new instance is unhealthy and the old one stays in service.
        DataError: The data could not be transferred, and the old instance stays in service.
        BusyError: Another operation holds the fleet's lock.
    """
    rollout_request = _build_request(ctx, options)
    promote.raise_if_blocked(promote.decide(ctx, rollout_request, describe.describe_fleet(ctx)).plan)
    image = rollout_request.image
    assert image is not None
    with (
        runs.record_run(ctx, "deploy", ami=image.id) as run,
        lock.acquire(ctx, run.id, f"deploy {image.name} ({image.id})") as held_lock,
    ):
        recovery.recover(ctx)
        found = _preflight(ctx, rollout_request)
        promote.raise_if_blocked(found.preflight.plan)
        if found.replaced:
            guard.raise_if_data_would_be_lost(ctx, found.inspected, image)
        version = promote.ensure_version(ctx, run, found.preflight, image)
        fleet_state = describe.describe_fleet(ctx)
        assert fleet_state.template is not None
        if ctx.recipe.database.on_volume:
            volume.ensure_volume(ctx, network.find_network(ctx), run.id)
        rollout = RolloutContext(ctx, run, held_lock)
        release_step.run(rollout, found.preflight, version, options.why or "deploy")
        target_group = load_balancers.get_target_group(ctx.aws, ctx.names.target_group) or ""
        replacement = InstanceReplacement(
            rollout,
            _switchover(ctx, run.id, version, found),
            fleet_state.template.id,
            previous_version=version,
            grace=ctx.recipe.fleet.health_check_grace_period,
            watch=options.watch or 0,
            retry="the same command continues",
        )
        reason = replacement.run()
        instance = replacement.switchover.target
        others = [i.id for i in found.replaced if i.image != image.id]
        if reason:
            state = f"{instance} keeps running, as before; the production parameter is unchanged."
            if found.replaced or not found.existing:
                if instance and not replacement.switchover.source:
                    _terminate(ctx, target_group, instance)
                terminated = not instance or instances.is_terminated(ctx.aws, instance)
                state = "The previous instance is in service" if others else "There is no previous instance"
                state += "; the new one is terminated" if terminated else f"; {instance} keeps running without traffic"
                state += ", and the production parameter is unchanged."
            if replacement.data_failed:
                raise DataError(
                    f"{image.name} ({image.id}) was not deployed because of the data, not of the image: {reason}",
                    state=state,
                    next="./invoke db.verify --restore",
                )
            evidence = replacement.evidence[0] if replacement.evidence else run.folder / "deploy.log"
            raise GateError(
                f"{image.name} ({image.id}) failed the health gate: {reason}", state=state, next=f"less {evidence}"
            )
        for previous in found.replaced:
            with ctx.progress.phase(f"terminating {previous.id}"):
                _terminate(ctx, target_group, previous.id)
        held_lock.verify_held()
        history.commit(ctx, run.id, fleet_state, version, image, options.why or "deploy")
        run.record(instance=instance)
    serving = instances.get(ctx.aws, instance)
    assert serving is not None
    return DeployResult(serving, image, tuple(others), run)


def _switchover(ctx: Context, run_id: str, version: int, found: DeployPreflight) -> Switchover:
    """Return the record of the switchover; without a source if there is no data to transfer."""
    source = found.replaced[0].id if ctx.recipe.database.on_instance and found.replaced else ""
    return Switchover(
        run_id,
        source,
        target=found.existing[0].id if found.existing else "",
        version=version,
        method=transfer.transfer_method(ctx),
        release_step=(schema := found.preflight.request.schema) is not None and schema.has_step,
        source_had_volume=not source or transfer.source_has_data(ctx, source),
    )


def _terminate(ctx: Context, target_group: str, instance: str) -> None:
    if target_group:
        load_balancers.deregister(ctx.aws, ctx.clock, target_group, instance)
    instances.terminate(ctx.aws, ctx.clock, instance)
