"""`invoke deploy`: one instance without a group: a new one, its health, into the balancer, the old one away; or back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goldenami.aws import auto_scaling as groups
from goldenami.aws import instances
from goldenami.aws import load_balancers as balancers
from goldenami.aws.instances import Instance
from goldenami.context import Shop
from goldenami.database import guard, volume
from goldenami.database import recovery as settling
from goldenami.database import transfer as carrying
from goldenami.database.switchover_model import Handover
from goldenami.errors import AwsError, GateError, GoldenError, UsageError
from goldenami.images import catalog as choosing
from goldenami.images.catalog import Options
from goldenami.infra import describe as scenery
from goldenami.infra import launch_template_plan as data
from goldenami.infra import network as ground
from goldenami.model.fleet import Scene
from goldenami.model.image import Image
from goldenami.promote import history as ledger
from goldenami.promote import promote
from goldenami.promote.plan import Preflight
from goldenami.rollout.request_model import Wish
from goldenami.state import lock as claims
from goldenami.state import logbook
from goldenami.state.lock import Held
from goldenami.state.runs import Run, write_text
from goldenami.summary import seconds
from goldenami.tools import http
from goldenami.tools.clock import attempts

_STEADY = 3  # healthy answers in a row: one can be luck


@dataclass(frozen=True)
class Deployed:
    """The instance that serves now, and those that it has replaced."""

    machine: Instance
    image: Image
    replaced: tuple[str, ...]
    run: Run


@dataclass(frozen=True)
class Found:
    """What a deployment would do; nothing was changed.

    Attributes:
        same: Instances of this image that are there already; the first of them is to serve.
        gone: Those that it replaces.
        guarded: Those whose rows are looked at first.
    """

    preflight: Preflight
    same: tuple[Instance, ...]
    gone: tuple[Instance, ...]
    guarded: tuple[str, ...]
    refusals: tuple[str, ...] = ()


def look(shop: Shop, options: Options) -> Found:
    """Read and decide; nothing is changed.

    Raises:
        UsageError: There is a group: that is for `promote`; or the command line names no image.
    """
    found = _found(shop, _wish(shop, options))
    against, image = found.preflight.plan.refusals, found.preflight.wish.image
    if found.guarded and image is not None and not settling.left(shop):
        against = (*against, *guard.reasons(shop, found.guarded, image))
    return replace(found, refusals=against)


def _wish(shop: Shop, options: Options) -> Wish:
    if groups.get(shop.aws, shop.names.group) is not None:
        raise UsageError(
            f"{shop.names.group} exists: its instances are renewed by promote",
            state="Nothing was changed.",
            next="./invoke promote --candidate",
        )
    return choosing.wish(shop, options)


def _found(shop: Shop, wanted: Wish) -> Found:
    existing, home = instances.tagged(shop.aws, data.FLEET, shop.name), shop.recipe.database
    old = [m for m in existing if m.image != wanted.ami]
    # One of this image is there already when an earlier run was killed after its launch.
    same = [m for m in existing if m.image == wanted.ami and m.state in ("pending", "running")]
    gone = [*old, *same[1:]]
    # Where each has rows of its own, those that stay or are stopped count as well.
    alone = home.on_instance and not home.on_volume
    guarded = [m.id for m in (existing if alone else gone) if alone or m.state == "running"] if gone else []
    preflight = promote.decide(shop, wanted, scenery.read(shop))
    return Found(preflight, tuple(same), tuple(gone), tuple(guarded))


def deploy(shop: Shop, options: Options) -> Deployed:
    """Replace the instances of a service that has no group by one of another image.

    Raises:
        UsageError: There is a group: that is for `promote`.
        GateError: The preflight refuses, or the new instance is not well; the old one serves on.
        BusyError: Somebody else is changing the fleet.
    """
    wanted = _wish(shop, options)
    promote.refuse(promote.decide(shop, wanted, scenery.read(shop)).plan)
    image = wanted.image
    assert image is not None
    with (
        logbook.opened(shop, "deploy", ami=image.id) as run,
        claims.held(shop, run.id, f"deploy {image.name} ({image.id})") as claim,
    ):
        settling.settle(shop)
        found = _found(shop, wanted)
        promote.refuse(found.preflight.plan)
        if found.gone:
            guard.refuse(shop, found.guarded, image)
        version = promote.ensure_version(shop, run, found.preflight, image)
        scene = scenery.read(shop)
        home, same, gone = shop.recipe.database, found.same, found.gone
        old = [m for m in gone if m.image != image.id]
        carries = home.on_instance and bool(gone)
        handover = Handover(run.id, gone[0].id if gone else "", version=version, by=carrying.way(shop))
        if home.on_volume:
            volume.ensure(shop, ground.find(shop), run.id)
            handover = replace(handover, had=not gone or carrying.has(shop, gone[0].id))
        carried = None
        if carries:
            carrying.note(shop, handover)
        machine = same[0] if same else _launch(shop, scene, handover)
        targets = balancers.get_target_group(shop.aws, shop.names.target_group) or ""
        try:
            machine = _healthy(shop, claim, machine, options.watch or 0)
            if carries:
                carried = carrying.carry(shop, claim, handover.at("launching", machine.id))
            elif home.on_volume:  # whoever had it before has ended
                volume.house(shop, machine.id)
                carrying.open_again(shop, machine.id)
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
                _back(shop, claim, carried.handover, what)
            state = _undo(shop, run, targets, machine, bool(old))
            raise GateError(what, state=state, next=f"less {run.folder / 'console.log'}") from None
        if carried:
            settling.finish(shop, carried.handover)
        for former in gone:
            with shop.progress.phase(f"terminating {former.id}"):
                if targets:
                    balancers.deregister(shop.aws, shop.clock, targets, former.id)
                instances.terminate(shop.aws, shop.clock, former.id)
        claim.confirm()
        ledger.commit(shop, run.id, scene, version, image, options.why or "deploy")
        run.record(instance=machine.id)
    return Deployed(machine, image, tuple(m.id for m in old), run)


def _launch(shop: Shop, scene: Scene, handover: Handover) -> Instance:
    assert scene.template is not None
    subnet = ground.find(shop).subnets[0]
    version, token = handover.version, settling.token(handover)
    machine = instances.launch_from(shop.aws, scene.template.id, version, subnet, token)
    shop.progress.say(f"launched {machine.id} from version {version}")
    return machine


def _healthy(shop: Shop, claim: Held, machine: Instance, watch: int) -> Instance:
    """Wait until it answers steadily, and then watch it."""
    app, grace = shop.recipe.app, shop.recipe.fleet.health_check_grace_period
    machine = instances.wait_running(shop.aws, shop.clock, machine.id)
    url = f"http://{machine.address}:{app.port}{app.health}"
    green, seen, since = 0, http.Probe(False, f"no answer from {url}"), 0.0
    for elapsed in attempts(shop.clock, timeout=grace + watch, every=1):
        claim.beat()
        seen = http.probe(url)
        was, green = green, green + 1 if seen.ok else 0
        if was >= _STEADY and not green:
            raise GateError(f"{machine.id} stopped answering after {elapsed - since:.0f} s ({seen.detail})")
        if green == _STEADY:
            since = elapsed
            shop.progress.say(f"{machine.id} healthy after {elapsed:.0f} s")
        if green >= _STEADY and elapsed - since >= watch:
            return machine
        if not green and elapsed > grace:
            break
    raise GateError(f"{machine.id} is not healthy after {grace} s ({seen.detail})")


def _register(shop: Shop, claim: Held, targets: str, machine: Instance) -> None:
    balancers.register(shop.aws, targets, machine.id)
    for _ in attempts(shop.clock, timeout=shop.recipe.fleet.health_check_grace_period, every=1):
        claim.beat()
        if any(t.id == machine.id and t.state == "healthy" for t in balancers.health(shop.aws, targets)):
            shop.progress.say(f"{machine.id} takes requests from the balancer")
            return
    raise GateError(f"{machine.id} does not become healthy to the balancer")


def _back(shop: Shop, claim: Held, carried: Handover, what: str) -> None:
    """Carry today's rows back to the instance that served before.

    Raises:
        GateError: It does not work; every row is on the new instance.
    """
    try:
        carrying.carry(shop, claim, carried.returning(carried.version))
    except GoldenError as error:
        carrying.note(shop, carried)
        raise GateError(
            f"{what}; and its rows cannot be carried back: {error.message}",
            state=f"{carried.target} has every row; {carried.source} stands beside it with its writes stopped."
            " Nothing is lost.",
            next="the same command goes on with it",
        ) from None


def _undo(shop: Shop, run: Run, targets: str, machine: Instance, others: bool) -> str:
    """Take the new instance away again; its console is kept."""
    write_text(run.folder / "console.log", instances.console(shop.aws, machine.id))
    if targets:
        balancers.deregister(shop.aws, shop.clock, targets, machine.id)
    instances.terminate(shop.aws, shop.clock, machine.id)
    carrying.forget(shop)
    before = "The instance before it serves on" if others else "There was no instance before it"
    return f"{machine.id} is terminated. {before}; the production parameter is untouched."
