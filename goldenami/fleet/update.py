"""Update the application on instances in service, without a new image; roll back on failure."""

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
    """Update the application on the instances, one after the other; stop at the first failure.

    An updated instance differs from its image: it is tagged as drifted. New instances of the group start from the image
    again, so a permanent update needs a bake and a promotion.

    Args:
        ref: Branch, tag or commit of the application's repository. Default: the recipe's.
        instance: Update only this instance.
        key: File of the private key, for instances that only SSH reaches.

    Raises:
        UsageError: The application's source is a directory, or there is no running instance.
        GateError: The update failed on an instance, which was rolled back.
        AwsError: An instance cannot be reached.
        BusyError: Another process holds the fleet lock.
    """
    app = ctx.recipe.app
    if not app.is_git:
        raise UsageError(
            f"Cannot update: the application's source is the directory {app.source}, which has no git refs",
            state="No changes were made.",
            next="./invoke bake && ./invoke promote --candidate",
        )
    ref = ref or app.ref
    if not re.fullmatch(r"(?!-)[A-Za-z0-9._/+-]+", ref):
        raise UsageError(f"'{ref}' is not a git ref")
    targets = (
        [describe.resolve_instance(ctx, instance)]
        if instance
        else [i for i in describe.list_instances(ctx) if i.state == "running"]
    )
    if not targets:
        raise UsageError(f"{ctx.name} has no running instance", next="./invoke instances")
    results: list[UpdateResult] = []
    script = update_script(ctx.recipe, ctx.aws.region, ref)
    with runs.record_run(ctx, "update", ref=ref) as run, lock.acquire(ctx, run.id, f"update to {ref}") as held_lock:
        write_text(run.folder / "update.sh", script)
        for target in targets:
            held_lock.heartbeat()
            with ctx.progress.phase(f"updating {target.id} to {ref}"):
                results.append(_update_instance(ctx, target, script, ref, key, len(results)))
    return results


def _update_instance(
    ctx: Context, instance: FleetInstance, script: str, ref: str, key: str, updated: int
) -> UpdateResult:
    # Tagged before the update, because an interrupted update also changes the instance.
    now = ctx.clock.now().strftime("%Y-%m-%dT%H:%MZ")
    _tag_drifted(ctx, instance, f"being updated to {ref}, {now}")
    try:
        result = remote.run_on_instance(ctx, instance, script, key=key, timeout=_TIMEOUT)
    except AwsError:  # the script did not start
        _tag_drifted(ctx, instance, instance.drifted)
        raise
    for line in result.stdout.splitlines() + result.stderr.splitlines():
        ctx.progress.record(line)
    commits = re.search(r"^UPDATED ([0-9a-f]+) ([0-9a-f]+)$", result.stdout, re.MULTILINE)
    if result.code == 0 and commits:
        _tag_drifted(ctx, instance, f"updated to {ref} ({commits[2][:12]}), {now}")
        return UpdateResult(instance, commits[1], commits[2])
    error = re.search(r"^ERROR (.*)$", result.stderr, re.MULTILINE)
    rolled_back = re.search(r"^ROLLED_BACK (\w+)$", result.stderr, re.MULTILINE)
    if rolled_back:
        _tag_drifted(ctx, instance, instance.drifted)
    cause = error[1] if error else (result.stderr.strip().splitlines() or [result.status])[-1]
    cause += "".join(
        f"; {line}" for line in dict.fromkeys(re.findall(r"^(?:DETAIL|HINT):.*", result.stderr, re.MULTILINE))
    )
    database = re.search(r"^STATE (.*)$", result.stderr, re.MULTILINE)
    state = f"{database[1]}. " if database else ""
    state += f"Rolled back to {rolled_back[1][:12]}." if rolled_back else "The instance may be unhealthy."
    earlier = f" {updated} instance(s) were updated before." if updated else ""
    raise GateError(
        f"{instance.id} failed to update to {ref}: {cause}",
        state=state + earlier,
        next=f"./invoke logs --instance {instance.id}",
    )


def _tag_drifted(ctx: Context, instance: FleetInstance, text: str) -> None:
    if text:
        images.tag(ctx.aws, [instance.id], {auto_scaling.DRIFTED_TAG: text[:255]})
    else:
        images.untag(ctx.aws, [instance.id], [auto_scaling.DRIFTED_TAG])


def update_script(recipe: Recipe, region: str, ref: str, root: Path = ROOT) -> str:
    """Return the script that updates the application on an instance to a git ref, or rolls back."""
    return render_text("update.sh.j2", {**template_vars(recipe, "app", region, ""), "ref": ref}, root)
