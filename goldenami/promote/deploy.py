"""`invoke deploy`: one instance without a group: a new one, its health, into the balancer, the old one away; or back."""

from __future__ import annotations

from dataclasses import replace

from goldenami.aws import auto_scaling, instances, load_balancers
from goldenami.context import Context
from goldenami.database import guard, recovery, transfer, volume
from goldenami.database.switchover_model import Switchover
from goldenami.errors import AwsError, GateError, GoldenError, UsageError
from goldenami.images.model import PromoteOptions
from goldenami.infra import describe, launch_template_plan, network
from goldenami.model.fleet import FleetState
from goldenami.model.resources import Instance
from goldenami.promote import history, promote, request
from goldenami.promote.model import DeployPreflight, DeployResult
from goldenami.rollout.request_model import RolloutRequest
from goldenami.state import lock, runs
from goldenami.state.lock import HeldLock
from goldenami.state.runs import Run, write_text
from goldenami.text import seconds
from goldenami.tools import http
from goldenami.tools.clock import poll

_CONSECUTIVE_HEALTHY = 3  # healthy answers in a row: one can be luck


def preflight(ctx: Context, options: PromoteOptions) -> DeployPreflight:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: There is a group: that is for `promote`; or the command line names no image.
    """
    found = _preflight(ctx, _build_request(ctx, options))
    against, image = found.preflight.plan.blockers, found.preflight.request.image
    if found.inspected and image is not None and not recovery.has_unfinished(ctx):
        against = (*against, *guard.blockers(ctx, found.inspected, image))
    return replace(found, blockers=against)


def _build_request(ctx: Context, options: PromoteOptions) -> RolloutRequest:
    if auto_scaling.get(ctx.aws, ctx.names.group) is not None:
        raise UsageError(
            f"{ctx.names.group} exists: its instances are renewed by promote",
            state="Nothing was changed.",
            next="./invoke promote --candidate",
        )
    return request.build_request(ctx, options)


def _preflight(ctx: Context, wanted: RolloutRequest) -> DeployPreflight:
    existing, home = instances.list_tagged(ctx.aws, launch_template_plan.FLEET_TAG, ctx.name), ctx.recipe.database
    old = [m for m in existing if m.image != wanted.ami]
    # One of this image is there already when an earlier run was killed after its launch.
    same = [m for m in existing if m.image == wanted.ami and m.state in ("pending", "running")]
    gone = [*old, *same[1:]]
    # Where each has rows of its own, those that stay or are stopped count as well.
    alone = home.on_instance and not home.on_volume
    guarded = [m.id for m in (existing if alone else gone) if alone or m.state == "running"] if gone else []
    preflight = promote.decide(ctx, wanted, describe.describe_fleet(ctx))
    return DeployPreflight(preflight, tuple(same), tuple(gone), tuple(guarded))


def deploy(ctx: Context, options: PromoteOptions) -> DeployResult:
    """Replace the instances of a service that has no group by one of another image.

    Raises:
        UsageError: There is a group: that is for `promote`.
        GateError: The preflight refuses, or the new instance is not well; the old one serves on.
        BusyError: Somebody else is changing the fleet.
    """
    wanted = _build_request(ctx, options)
    promote.raise_if_blocked(promote.decide(ctx, wanted, describe.describe_fleet(ctx)).plan)
    image = wanted.image
    assert image is not None
    with (
        runs.record_run(ctx, "deploy", ami=image.id) as run,
        lock.acquire(ctx, run.id, f"deploy {image.name} ({image.id})") as held_lock,
    ):
        recovery.recover(ctx)
        found = _preflight(ctx, wanted)
        promote.raise_if_blocked(found.preflight.plan)
        if found.replaced:
            guard.raise_if_data_would_be_lost(ctx, found.inspected, image)
        version = promote.ensure_version(ctx, run, found.preflight, image)
        fleet_state = describe.describe_fleet(ctx)
        home, same, gone = ctx.recipe.database, found.existing, found.replaced
        old = [m for m in gone if m.image != image.id]
        carries = home.on_instance and bool(gone)
        switchover = Switchover(
            run.id, gone[0].id if gone else "", version=version, method=transfer.transfer_method(ctx)
        )
        if home.on_volume:
            volume.ensure_volume(ctx, network.find_network(ctx), run.id)
            switchover = replace(switchover, source_had_volume=not gone or transfer.source_has_data(ctx, gone[0].id))
        carried = None
        if carries:
            transfer.save(ctx, switchover)
        machine = same[0] if same else _launch(ctx, fleet_state, switchover)
        targets = load_balancers.get_target_group(ctx.aws, ctx.names.target_group) or ""
        try:
            machine = _wait_until_healthy(ctx, held_lock, machine, options.watch or 0)
            if carries:
                carried = transfer.transfer(ctx, held_lock, switchover.advance("launching", machine.id))
            elif home.on_volume:  # whoever had it before has ended
                volume.attach_and_mount(ctx, machine.id)
                transfer.resume_service(ctx, machine.id)
            if targets:
                _register(ctx, held_lock, targets, machine)
            if carried:
                spent = seconds(ctx.clock.monotonic() - carried.frozen_since)
                ctx.progress.info(f"nobody could write for {spent}; now {machine.id} serves")
        except (AwsError, GateError) as error:
            what = f"{image.name} ({image.id}) was not well: {error.message}"
            if same and not gone:  # nothing was launched: what it has may be all that there is
                told = f"{machine.id} is as it was before; the production parameter is untouched."
                raise GateError(what, state=told, next=f"./invoke logs --instance {machine.id}") from None
            if carried:
                _roll_back(ctx, held_lock, carried.switchover, what)
            state = _undo(ctx, run, targets, machine, bool(old))
            raise GateError(what, state=state, next=f"less {run.folder / 'console.log'}") from None
        if carried:
            recovery.complete(ctx, carried.switchover)
        for former in gone:
            with ctx.progress.phase(f"terminating {former.id}"):
                if targets:
                    load_balancers.deregister(ctx.aws, ctx.clock, targets, former.id)
                instances.terminate(ctx.aws, ctx.clock, former.id)
        held_lock.verify_held()
        history.commit(ctx, run.id, fleet_state, version, image, options.why or "deploy")
        run.record(instance=machine.id)
    return DeployResult(machine, image, tuple(m.id for m in old), run)


def _launch(ctx: Context, fleet_state: FleetState, switchover: Switchover) -> Instance:
    assert fleet_state.template is not None
    subnet = network.find_network(ctx).subnets[0]
    version, token = switchover.version, recovery.client_token(switchover)
    machine = instances.launch_from_template(ctx.aws, fleet_state.template.id, version, subnet, token)
    ctx.progress.info(f"launched {machine.id} from version {version}")
    return machine


def _wait_until_healthy(ctx: Context, held_lock: HeldLock, machine: Instance, watch: int) -> Instance:
    """Wait until it answers steadily, and then watch it."""
    app, grace = ctx.recipe.app, ctx.recipe.fleet.health_check_grace_period
    machine = instances.wait_running(ctx.aws, ctx.clock, machine.id)
    url = f"http://{machine.address}:{app.port}{app.health}"
    green, seen, since = 0, http.Probe(False, f"no answer from {url}"), 0.0
    for elapsed in poll(ctx.clock, timeout=grace + watch, every=1):
        held_lock.heartbeat()
        seen = http.probe(url)
        was, green = green, green + 1 if seen.ok else 0
        if was >= _CONSECUTIVE_HEALTHY and not green:
            raise GateError(f"{machine.id} stopped answering after {elapsed - since:.0f} s ({seen.detail})")
        if green == _CONSECUTIVE_HEALTHY:
            since = elapsed
            ctx.progress.info(f"{machine.id} healthy after {elapsed:.0f} s")
        if green >= _CONSECUTIVE_HEALTHY and elapsed - since >= watch:
            return machine
        if not green and elapsed > grace:
            break
    raise GateError(f"{machine.id} is not healthy after {grace} s ({seen.detail})")


def _register(ctx: Context, held_lock: HeldLock, targets: str, machine: Instance) -> None:
    load_balancers.register(ctx.aws, targets, machine.id)
    for _ in poll(ctx.clock, timeout=ctx.recipe.fleet.health_check_grace_period, every=1):
        held_lock.heartbeat()
        if any(t.id == machine.id and t.state == "healthy" for t in load_balancers.list_targets(ctx.aws, targets)):
            ctx.progress.info(f"{machine.id} takes requests from the balancer")
            return
    raise GateError(f"{machine.id} does not become healthy to the balancer")


def _roll_back(ctx: Context, held_lock: HeldLock, carried: Switchover, what: str) -> None:
    """Carry today's rows back to the instance that served before.

    Raises:
        GateError: It does not work; every row is on the new instance.
    """
    try:
        transfer.transfer(ctx, held_lock, carried.reversed(carried.version))
    except GoldenError as error:
        transfer.save(ctx, carried)
        raise GateError(
            f"{what}; and its rows cannot be carried back: {error.message}",
            state=f"{carried.target} has every row; {carried.source} stands beside it with its writes stopped."
            " Nothing is lost.",
            next="the same command goes on with it",
        ) from None


def _undo(ctx: Context, run: Run, targets: str, machine: Instance, others: bool) -> str:
    """Take the new instance away again; its console is kept."""
    write_text(run.folder / "console.log", instances.console_output(ctx.aws, machine.id))
    if targets:
        load_balancers.deregister(ctx.aws, ctx.clock, targets, machine.id)
    instances.terminate(ctx.aws, ctx.clock, machine.id)
    transfer.clear(ctx)
    before = "The instance before it serves on" if others else "There was no instance before it"
    return f"{machine.id} is terminated. {before}; the production parameter is untouched."
