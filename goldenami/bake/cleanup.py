"""Delete resources left by crashed runs: instances, volumes, snapshots, key pairs, security groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime, timedelta

from goldenami.aws import references, run_resources
from goldenami.bake import environment
from goldenami.bake.model import SweepResult
from goldenami.context import Context
from goldenami.infra.describe import release_pointers
from goldenami.model.references import find_references
from goldenami.model.resources import OrphanedResource
from goldenami.state import lock, runs
from goldenami.state.runs import Run

LIFETIME = timedelta(days=3)  # longer than any run takes
_BAKE_KINDS = ("bake", "verify", "diff")  # kinds of runs that hold the bake lock


def sweep(ctx: Context, *, run_ids: frozenset[str] = frozenset(), plan_only: bool = False) -> SweepResult:
    """Delete the resources of this checkout's crashed runs, of the given runs, and of runs older than any run takes.

    A run of this checkout has ended if the bake lock is free. Runs of other checkouts may be running: their resources are
    listed and kept, unless the run is given or too old. Instances are kept even then: they may be under examination.

    Args:
        run_ids: Further runs whose resources are deleted, also of other checkouts.
        plan_only: Delete nothing.
    """
    with environment.bake_lock(ctx):
        ended = ({run.id for run in runs.list_runs(ctx.build)} - _promoting(ctx)) | run_ids
        resources = run_resources.find(ctx.aws)
        expired = {r for r in resources if r.run_id not in ended and is_expired(r, ctx.clock.now())}
        result = plan(resources, ended, expired - _referenced(ctx, expired))
        if not plan_only:
            remove(ctx, result.removable)
        return result


def _promoting(ctx: Context) -> set[str]:
    """Return the run that holds the fleet's lock: its release instance works."""
    holder = lock.holder(ctx)
    return set() if holder is None or lock.is_stale(ctx, holder) else {holder.run}


def plan(
    resources: Sequence[OrphanedResource], ended: Set[str], expired: Set[OrphanedResource] = frozenset()
) -> SweepResult:
    """Divide resources into those to delete (of ended runs, or expired) and those to keep."""
    removable = tuple(r for r in resources if r.run_id in ended or r in expired)
    return SweepResult(removable, tuple(r for r in resources if r not in removable))


def is_expired(resource: OrphanedResource, now: datetime) -> bool:
    """Return whether the resource's run, by the time in its id, started longer ago than any run takes."""
    started = re.match(r"(\d{8}-\d{6})-[0-9a-f]{6}$", resource.run_id)
    if resource.kind == "instance" or resource.busy or not started:
        return False
    return now - datetime.strptime(started[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) > LIFETIME


def _referenced(ctx: Context, resources: Set[OrphanedResource]) -> set[OrphanedResource]:
    """Return the snapshots that something in the account references, such as another launch template."""
    if not any(resource.kind == "snapshot" for resource in resources):
        return set()
    pointers = release_pointers(ctx)
    in_use = find_references(references.read_references(ctx.aws, pointers), pointers)
    return {resource for resource in resources if resource.id in in_use}


def after_crashed_runs(ctx: Context) -> None:
    """Delete the resources of every crashed run of this checkout. Runs at the start of a bake, which holds the lock."""
    crashed = {run.id: run for run in runs.list_runs(ctx.build) if _is_unfinished(run)}
    if not crashed:
        return
    resources = plan(run_resources.find(ctx.aws), set(crashed)).removable
    if resources:
        ctx.progress.info(f"an earlier run was interrupted ({', '.join(sorted(crashed))}); deleting its resources")
        remove(ctx, resources)
    for run in crashed.values():
        run.record(state="interrupted")


def _is_unfinished(run: Run) -> bool:
    # Other kinds of runs, such as promotions, do not hold the bake lock, and leave no resources.
    facts = run.facts()
    return facts.get("state") == "running" and facts.get("kind", "bake") in _BAKE_KINDS


def after_run(ctx: Context, run_id: str) -> None:
    """Delete all resources of a run that are not part of an AMI. Runs at its end, also after a failure."""
    remove(ctx, plan(run_resources.find(ctx.aws), {run_id}).removable)


def remove(ctx: Context, resources: Iterable[OrphanedResource]) -> None:
    """Delete resources sequentially, in the given order: instances come before what they use."""
    for resource in resources:
        # A terminated instance deletes its volumes, so a volume may not exist any more.
        run_resources.remove(ctx.aws, ctx.clock, resource)
        ctx.progress.detail(f"deleted {resource.kind} {resource.id} of run {resource.run_id}")
