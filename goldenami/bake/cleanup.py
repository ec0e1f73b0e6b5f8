"""Remove what dead runs left in the account: instances, volumes, snapshots, key pairs, security groups."""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import UTC, datetime, timedelta

from goldenami.aws import references, run_resources
from goldenami.bake.model import SweepResult
from goldenami.context import Context
from goldenami.model.references import Pointers, find_references
from goldenami.model.resources import OrphanedResource
from goldenami.state import runs
from goldenami.state.runs import Run

LIFETIME = timedelta(days=3)
_BUILDING = ("bake", "verify", "diff")  # the kinds of runs that hold the bake lock


def sweep(ctx: Context, *, run_ids: frozenset[str] = frozenset(), plan_only: bool = False) -> SweepResult:
    """Remove what runs of this checkout left when they died, what the named runs left, and what is older than any run.

    A run is known to be dead when it is one of this checkout and the bake lock is free. Runs of other checkouts and
    other people may be alive; they are listed and left alone unless they are named, or began so long ago that no run
    lives so long. (An instance is left alone even then: somebody may be looking into it.)

    Args:
        shop: Where.
        run_ids: Runs to clean up after as well, whoever started them.
        plan_only: Only look.
    """
    with runs.lock(ctx.build / "bake.lock", "a bake is running here; waiting for it to finish", ctx.progress.info):
        dead = {run.id for run in runs.list_runs(ctx.build)} | run_ids
        left = run_resources.find(ctx.aws)
        aged = {one for one in left if one.run_id not in dead and is_expired(one, ctx.clock.now())}
        found = plan(left, dead, aged - _named(ctx, aged))
        if not plan_only:
            remove(ctx, found.removable)
        return found


def plan(found: list[OrphanedResource], dead: set[str], aged: Set[OrphanedResource] = frozenset()) -> SweepResult:
    """Divide leftovers into those of dead runs (or older than any run) and those to leave alone."""
    return SweepResult(
        removable=tuple(left for left in found if left.run_id in dead or left in aged),
        kept=tuple(left for left in found if left.run_id not in dead and left not in aged),
    )


def is_expired(left: OrphanedResource, now: datetime) -> bool:
    """Whether something is left of a run that began, as its id says, longer ago than any run lives."""
    began = re.match(r"(\d{8}-\d{6})-[0-9a-f]{6}$", left.run_id)
    if left.kind == "instance" or left.busy or not began:
        return False
    return now - datetime.strptime(began[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) > LIFETIME


def _named(ctx: Context, aged: Set[OrphanedResource]) -> set[OrphanedResource]:
    """Snapshots that something in the account names, a launch template of others, say."""
    if not any(left.kind == "snapshot" for left in aged):
        return set()
    ours = Pointers(ctx.names.production, ctx.candidate, f"/goldenami/{ctx.name}")
    named = find_references(references.read_references(ctx.aws, ours), ours)
    return {left for left in aged if left.id in named}


def after_crashed_runs(ctx: Context) -> None:
    """At the start of a bake (which holds the lock): clean up after every run of this checkout that did not finish."""
    dead = {run.id: run for run in runs.list_runs(ctx.build) if _open(run)}
    if not dead:
        return
    found = plan(run_resources.find(ctx.aws), set(dead))
    if found.removable:
        ctx.progress.info(f"an earlier run was interrupted ({', '.join(sorted(dead))}); removing what it left")
        remove(ctx, found.removable)
    for run in dead.values():
        run.record(state="interrupted")


def _open(run: Run) -> bool:
    # A promotion, say, holds no bake lock: it may be alive, and leaves nothing to sweep.
    facts = run.facts()
    return facts.get("state") == "running" and facts.get("kind", "bake") in _BUILDING


def after_run(ctx: Context, run_id: str) -> None:
    """At the end of a run, however it ended: remove all that it made and that is not part of an AMI."""
    remove(ctx, plan(run_resources.find(ctx.aws), {run_id}).removable)


def remove(ctx: Context, found: tuple[OrphanedResource, ...]) -> None:
    """Remove leftovers one after the other, in an order in which that works."""
    for left in found:
        # A terminated instance takes its volumes with it, so a volume may be gone by the time it is its turn.
        run_resources.remove(ctx.aws, ctx.clock, left)
        ctx.progress.detail(f"removed {left.kind} {left.id} of run {left.run_id}")
