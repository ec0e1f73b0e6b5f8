"""`invoke update`: the application on the instances, in place, to another ref; back to what was where that fails."""

from __future__ import annotations

import re
from dataclasses import dataclass

from goldenami.aws import auto_scaling as groups
from goldenami.aws import images
from goldenami.bake import render
from goldenami.context import Shop
from goldenami.errors import AwsError, GateError, UsageError
from goldenami.fleet import instances as machines
from goldenami.infra import remote as reaching
from goldenami.model.machine import Machine
from goldenami.state import lock as claims
from goldenami.state import logbook
from goldenami.state.runs import write_text

_PATIENCE = 900.0  # seconds for fetch, build and health on one instance


@dataclass(frozen=True)
class Updated:
    """An instance that was updated: from which commit to which."""

    machine: Machine
    before: str
    after: str


def update(shop: Shop, ref: str, instance: str = "", key: str = "") -> list[Updated]:
    """Update the instances one after the other; the first that fails ends it.

    An updated instance is no longer what its image says: it is tagged so, and `status` shows it. A new instance of the group
    starts from the image again, so an update that should last needs a bake and a promotion.

    Args:
        shop: Where.
        ref: A branch, tag or commit of the application's repository; the recipe's when empty.
        instance: Only this one.
        key: The private key's file, for an instance that only SSH reaches.

    Raises:
        UsageError: The source is a directory, or there is no instance.
        GateError: It failed on an instance, which is back at what it ran.
        AwsError: An instance cannot be reached.
        BusyError: Somebody else is changing the fleet.
    """
    app = shop.recipe.app
    if not app.is_git:
        raise UsageError(
            f"the application's source is the directory {app.source}, which has no refs to update to",
            state="Nothing was changed.",
            next="./invoke bake && ./invoke promote --candidate",
        )
    wanted = ref or app.ref
    if not re.fullmatch(r"(?!-)[A-Za-z0-9._/+-]+", wanted):
        raise UsageError(f"'{wanted}' is not a git ref")
    found = [machines.pick(shop, instance)] if instance else [m for m in machines.every(shop) if m.state == "running"]
    if not found:
        raise UsageError(f"{shop.name} has no running instance", next="./invoke instances")
    done: list[Updated] = []
    script = render.update_script(shop.recipe, shop.aws.region, wanted)
    with (
        logbook.opened(shop, "update", ref=wanted) as run,
        claims.held(shop, run.id, f"update to {wanted}") as claim,
    ):
        write_text(run.folder / "update.sh", script)
        for machine in found:
            claim.beat()
            with shop.progress.phase(f"updating {machine.id} to {wanted}"):
                done.append(_one(shop, machine, script, wanted, key, len(done)))
    return done


def _one(shop: Shop, machine: Machine, script: str, ref: str, key: str, before: int) -> Updated:
    # Marked first: an update that is killed half-way has changed the instance, too.
    now = shop.clock.now().strftime("%Y-%m-%dT%H:%MZ")
    images.tag(shop.aws, [machine.id], {groups.DRIFTED: f"being updated to {ref}, {now}"[:255]})
    try:
        said = reaching.run(shop, machine, script, key=key, timeout=_PATIENCE)
    except AwsError:  # it was not reached
        images.untag(shop.aws, [machine.id], [groups.DRIFTED])
        raise
    for line in said.stdout.splitlines() + said.stderr.splitlines():
        shop.progress.record(line)
    found = re.search(r"^UPDATED ([0-9a-f]+) ([0-9a-f]+)$", said.stdout, re.MULTILINE)
    if said.code == 0 and found:
        images.tag(shop.aws, [machine.id], {groups.DRIFTED: f"updated to {ref} ({found[2][:12]}), {now}"[:255]})
        return Updated(machine, found[1], found[2])
    red = re.search(r"^RED (.*)$", said.stderr, re.MULTILINE)
    back = re.search(r"^RESTORED (\w+)$", said.stderr, re.MULTILINE)
    if back and not machine.drifted:
        images.untag(shop.aws, [machine.id], [groups.DRIFTED])
    elif back:
        images.tag(shop.aws, [machine.id], {groups.DRIFTED: machine.drifted})
    why = red[1] if red else (said.stderr.strip().splitlines() or [said.status])[-1]
    state = f"It is back at {back[1][:12]} and healthy." if back else "It may not be well: look at it, or terminate it."
    earlier = f" {before} instance(s) were updated before it." if before else ""
    raise GateError(
        f"{machine.id} could not be updated to {ref}: {why}",
        state=state + earlier,
        next=f"./invoke logs --instance {machine.id}",
    )
