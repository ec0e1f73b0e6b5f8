"""`invoke update`: the application on the instances, in place, to another ref; back to what was where that fails."""

from __future__ import annotations

import re
from pathlib import Path

from goldenami.aws import auto_scaling, images
from goldenami.context import Context
from goldenami.errors import AwsError, GateError, UsageError
from goldenami.fleet.model import UpdateResult
from goldenami.infra import describe, remote
from goldenami.model.fleet import FleetInstance
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.template_vars import template_vars
from goldenami.state import lock, runs
from goldenami.state.runs import write_text
from goldenami.tools.jinja import ROOT, render_text

_TIMEOUT = 900.0  # seconds for fetch, build and health on one instance


def update(ctx: Context, ref: str, instance: str = "", key: str = "") -> list[UpdateResult]:
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
    app = ctx.recipe.app
    if not app.is_git:
        raise UsageError(
            f"the application's source is the directory {app.source}, which has no refs to update to",
            state="Nothing was changed.",
            next="./invoke bake && ./invoke promote --candidate",
        )
    wanted = ref or app.ref
    if not re.fullmatch(r"(?!-)[A-Za-z0-9._/+-]+", wanted):
        raise UsageError(f"'{wanted}' is not a git ref")
    found = (
        [describe.resolve_instance(ctx, instance)]
        if instance
        else [m for m in describe.list_instances(ctx) if m.state == "running"]
    )
    if not found:
        raise UsageError(f"{ctx.name} has no running instance", next="./invoke instances")
    done: list[UpdateResult] = []
    script = update_script(ctx.recipe, ctx.aws.region, wanted)
    with (
        runs.record_run(ctx, "update", ref=wanted) as run,
        lock.acquire(ctx, run.id, f"update to {wanted}") as held_lock,
    ):
        write_text(run.folder / "update.sh", script)
        for machine in found:
            held_lock.heartbeat()
            with ctx.progress.phase(f"updating {machine.id} to {wanted}"):
                done.append(_one(ctx, machine, script, wanted, key, len(done)))
    return done


def _one(ctx: Context, machine: FleetInstance, script: str, ref: str, key: str, before: int) -> UpdateResult:
    # Marked first: an update that is killed half-way has changed the instance, too.
    now = ctx.clock.now().strftime("%Y-%m-%dT%H:%MZ")
    images.tag(ctx.aws, [machine.id], {auto_scaling.DRIFTED_TAG: f"being updated to {ref}, {now}"[:255]})
    try:
        said = remote.run_on_instance(ctx, machine, script, key=key, timeout=_TIMEOUT)
    except AwsError:  # it was not reached
        images.untag(ctx.aws, [machine.id], [auto_scaling.DRIFTED_TAG])
        raise
    for line in said.stdout.splitlines() + said.stderr.splitlines():
        ctx.progress.record(line)
    found = re.search(r"^UPDATED ([0-9a-f]+) ([0-9a-f]+)$", said.stdout, re.MULTILINE)
    if said.code == 0 and found:
        images.tag(
            ctx.aws, [machine.id], {auto_scaling.DRIFTED_TAG: f"updated to {ref} ({found[2][:12]}), {now}"[:255]}
        )
        return UpdateResult(machine, found[1], found[2])
    red = re.search(r"^ERROR (.*)$", said.stderr, re.MULTILINE)
    back = re.search(r"^ROLLED_BACK (\w+)$", said.stderr, re.MULTILINE)
    if back and not machine.drifted:
        images.untag(ctx.aws, [machine.id], [auto_scaling.DRIFTED_TAG])
    elif back:
        images.tag(ctx.aws, [machine.id], {auto_scaling.DRIFTED_TAG: machine.drifted})
    why = red[1] if red else (said.stderr.strip().splitlines() or [said.status])[-1]
    state = f"It is back at {back[1][:12]} and healthy." if back else "It may not be well: look at it, or terminate it."
    earlier = f" {before} instance(s) were updated before it." if before else ""
    raise GateError(
        f"{machine.id} could not be updated to {ref}: {why}",
        state=state + earlier,
        next=f"./invoke logs --instance {machine.id}",
    )


def update_script(recipe: Recipe, region: str, ref: str, root: Path = ROOT) -> str:
    """The script that updates the application on an instance, in place, to a ref; back to what was when that fails."""
    return render_text("update.sh.j2", {**template_vars(recipe, "app", region, ""), "ref": ref}, root)
