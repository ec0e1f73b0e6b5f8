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


def preflight(shop: Context, options: PromoteOptions) -> DeployPreflight:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: There is a group: that is for `promote`; or the command line names no image.
    """
    found = _preflight(shop, _build_request(shop, options))
    against, image = found.preflight.plan.refusals, found.preflight.wish.image
    if found.guarded and image is not None and not recovery.has_unfinished(shop):
        against = (*against, *guard.blockers(shop, found.guarded, image))
    return replace(found, refusals=against)


def _build_request(shop: Context, options: PromoteOptions) -> RolloutRequest:
    if auto_scaling.get(shop.aws, shop.names.group) is not None:
        raise UsageError(
            f"{shop.names.group} exists: its instances are renewed by promote",
            state="Nothing was changed.",
            next="./invoke promote --candidate",
        )
    return request.build_request(shop, options)


def _preflight(shop: Context, wanted: RolloutRequest) -> DeployPreflight:
    existing, home = instances.tagged(shop.aws, launch_template_plan.FLEET_TAG, shop.name), shop.recipe.database
    old = [m for m in existing if m.image != wanted.ami]
    # One of this image is there already when an earlier run was killed after its launch.
    same = [m for m in existing if m.image == wanted.ami and m.state in ("pending", "running")]
    gone = [*old, *same[1:]]
    # Where each has rows of its own, those that stay or are stopped count as well.
    alone = home.on_instance and not home.on_volume
    guarded = [m.id for m in (existing if alone else gone) if alone or m.state == "running"] if gone else []
    preflight = promote.decide(shop, wanted, describe.describe_fleet(shop))
    return DeployPreflight(preflight, tuple(same), tuple(gone), tuple(guarded))


def deploy(shop: Context, options: PromoteOptions) -> DeployResult:
    """Replace the instances of a service that has no group by one of another image.

    Raises:
        UsageError: There is a group: that is for `promote`.
        GateError: The preflight refuses, or the new instance is not well; the old one serves on.
        BusyError: Somebody else is changing the fleet.
    """
    wanted = _build_request(shop, options)
    promote.raise_if_blocked(promote.decide(shop, wanted, describe.describe_fleet(shop)).plan)
    image = wanted.image
    assert image is not None
    with (
        runs.record_run(shop, "deploy", ami=image.id) as run,
        lock.acquire(shop, run.id, f"deploy {image.name} ({image.id})") as claim,
    ):
        recovery.recover(shop)
        found = _preflight(shop, wanted)
        promote.raise_if_blocked(found.preflight.plan)
        if found.gone:
            guard.raise_if_data_would_be_lost(shop, found.guarded, image)
        version = promote.ensure_version(shop, run, found.preflight, image)
        scene = describe.describe_fleet(shop)
        home, same, gone = shop.recipe.database, found.same, found.gone
        old = [m for m in gone if m.image != image.id]
        carries = home.on_instance and bool(gone)
        handover = Switchover(run.id, gone[0].id if gone else "", version=version, by=transfer.transfer_method(shop))
        if home.on_volume:
            volume.ensure_volume(shop, network.find_network(shop), run.id)
            handover = replace(handover, had=not gone or transfer.source_has_data(shop, gone[0].id))
        carried = None
        if carries:
            transfer.save(shop, handover)
        machine = same[0] if same else _launch(shop, scene, handover)
        targets = load_balancers.get_target_group(shop.aws, shop.names.target_group) or ""
        try:
            machine = _wait_until_healthy(shop, claim, machine, options.watch or 0)
            if carries:
                carried = transfer.transfer(shop, claim, handover.at("launching", machine.id))
            elif home.on_volume:  # whoever had it before has ended
                volume.attach_and_mount(shop, machine.id)
                transfer.resume_service(shop, machine.id)
            if targets:
                _register(shop, claim, targets, machine)
            if carried:
                spent = seconds(shop.clock.monotonic() - carried.began)
                shop.progress.say(f"nobody could write for {spent}; now {machine.id} serves")
        except (AwsError, GateError) as error:
            what = f"{image.name} ({image.id}) was not well: {error.message}"
            if same and not gone:  # nothing was launched: what it has may be all that there is
                told = f"{machine.id} is as it was before; the production parameter is untouched."
                raise GateError(what, state=told, next=f"./invoke logs --instance {machine.id}") from None
            if carried:
                _roll_back(shop, claim, carried.handover, what)
            state = _undo(shop, run, targets, machine, bool(old))
            raise GateError(what, state=state, next=f"less {run.folder / 'console.log'}") from None
        if carried:
            recovery.complete(shop, carried.handover)
        for former in gone:
            with shop.progress.phase(f"terminating {former.id}"):
                if targets:
                    load_balancers.deregister(shop.aws, shop.clock, targets, former.id)
                instances.terminate(shop.aws, shop.clock, former.id)
        claim.confirm()
        history.commit(shop, run.id, scene, version, image, options.why or "deploy")
        run.record(instance=machine.id)
    return DeployResult(machine, image, tuple(m.id for m in old), run)


def _launch(shop: Context, scene: FleetState, handover: Switchover) -> Instance:
    assert scene.template is not None
    subnet = network.find_network(shop).subnets[0]
    version, token = handover.version, recovery.token(handover)
    machine = instances.launch_from_template(shop.aws, scene.template.id, version, subnet, token)
    shop.progress.say(f"launched {machine.id} from version {version}")
    return machine


def _wait_until_healthy(shop: Context, claim: HeldLock, machine: Instance, watch: int) -> Instance:
    """Wait until it answers steadily, and then watch it."""
    app, grace = shop.recipe.app, shop.recipe.fleet.health_check_grace_period
    machine = instances.wait_running(shop.aws, shop.clock, machine.id)
    url = f"http://{machine.address}:{app.port}{app.health}"
    green, seen, since = 0, http.Probe(False, f"no answer from {url}"), 0.0
    for elapsed in poll(shop.clock, timeout=grace + watch, every=1):
        claim.beat()
        seen = http.probe(url)
        was, green = green, green + 1 if seen.ok else 0
        if was >= _CONSECUTIVE_HEALTHY and not green:
            raise GateError(f"{machine.id} stopped answering after {elapsed - since:.0f} s ({seen.detail})")
        if green == _CONSECUTIVE_HEALTHY:
            since = elapsed
            shop.progress.say(f"{machine.id} healthy after {elapsed:.0f} s")
        if green >= _CONSECUTIVE_HEALTHY and elapsed - since >= watch:
            return machine
        if not green and elapsed > grace:
            break
    raise GateError(f"{machine.id} is not healthy after {grace} s ({seen.detail})")


def _register(shop: Context, claim: HeldLock, targets: str, machine: Instance) -> None:
    load_balancers.register(shop.aws, targets, machine.id)
    for _ in poll(shop.clock, timeout=shop.recipe.fleet.health_check_grace_period, every=1):
        claim.beat()
        if any(t.id == machine.id and t.state == "healthy" for t in load_balancers.health(shop.aws, targets)):
            shop.progress.say(f"{machine.id} takes requests from the balancer")
            return
    raise GateError(f"{machine.id} does not become healthy to the balancer")


def _roll_back(shop: Context, claim: HeldLock, carried: Switchover, what: str) -> None:
    """Carry today's rows back to the instance that served before.

    Raises:
        GateError: It does not work; every row is on the new instance.
    """
    try:
        transfer.transfer(shop, claim, carried.returning(carried.version))
    except GoldenError as error:
        transfer.save(shop, carried)
        raise GateError(
            f"{what}; and its rows cannot be carried back: {error.message}",
            state=f"{carried.target} has every row; {carried.source} stands beside it with its writes stopped."
            " Nothing is lost.",
            next="the same command goes on with it",
        ) from None


def _undo(shop: Context, run: Run, targets: str, machine: Instance, others: bool) -> str:
    """Take the new instance away again; its console is kept."""
    write_text(run.folder / "console.log", instances.console(shop.aws, machine.id))
    if targets:
        load_balancers.deregister(shop.aws, shop.clock, targets, machine.id)
    instances.terminate(shop.aws, shop.clock, machine.id)
    transfer.clear(shop)
    before = "The instance before it serves on" if others else "There was no instance before it"
    return f"{machine.id} is terminated. {before}; the production parameter is untouched."
