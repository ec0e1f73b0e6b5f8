"""`invoke prune`: let old images go, each only once nothing in the account names it any more, and say why of every one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from goldenami.aws import images, references
from goldenami.bake import inventory
from goldenami.context import Context
from goldenami.images.model import PruneResult
from goldenami.images.prune_plan import AccountSnapshot, RetentionDecision, is_due, own_snapshots, plan, with_effect
from goldenami.infra.describe import release_pointers
from goldenami.model.image import ORPHANED, PRUNED
from goldenami.state import runs

# EC2 takes no date in the past, and rounds to the minute.
SOON = timedelta(minutes=2)


def prune(ctx: Context, *, plan_only: bool = False) -> PruneResult:
    """Deprecate what the policy no longer keeps, and deregister what has been deprecated for long enough.

    Killed at any moment, the next run goes on: what is deregistered is marked on its snapshots first, so that they are found.
    """
    with runs.lock(ctx.build / "bake.lock", "a bake is running here; waiting for it to finish", ctx.progress.info):
        account = read_account(ctx)
        verdicts = judge(ctx, account)
        if plan_only:
            return PruneResult(verdicts, {}, {})
        listed = tuple(account.references.parameters)  # before any image went, and before a colleague baked another
        snapshots = resume_interrupted(ctx, account)
        held: dict[str, str] = {}
        for verdict in verdicts:
            deprecate(ctx, verdict)
        for verdict in is_due(verdicts):
            account, changed = recheck(ctx, account, verdict)
            if changed is None:
                changed = deregister(ctx, account, verdict, snapshots)
            if not changed:
                account = replace(account, owned=tuple(i for i in account.owned if i.id != verdict.image.id))
            else:
                held[verdict.image.id] = changed
                ctx.progress.info(f"kept {verdict.image.name} ({verdict.image.id}) after all: {changed}")
        inventory.delete_orphaned(ctx, listed, account.owned)
        return PruneResult(verdicts, snapshots, held)


def judge(ctx: Context, account: AccountSnapshot) -> tuple[RetentionDecision, ...]:
    """The verdicts about an account as it is now."""
    return plan(account, ctx.recipe.retention, ctx.name, release_pointers(ctx), ctx.clock.now())


def read_account(ctx: Context) -> AccountSnapshot:
    """Read the account. Whom an image is shared with takes a call each, so that is asked only of those that would go."""
    ours = release_pointers(ctx)
    with ctx.progress.phase("look for everything that names an image"):
        census = references.read_references(ctx.aws, ours)
        account = AccountSnapshot(images.list_owned(ctx.aws), census)
        while asked := [v.image.id for v in with_effect(judge(ctx, account)) if v.image.id not in account.shares]:
            shares = {ami: images.shared_with(ctx.aws, ami) for ami in asked}
            account = replace(account, shares={**account.shares, **shares})
    return account


def recheck(ctx: Context, account: AccountSnapshot, verdict: RetentionDecision) -> tuple[AccountSnapshot, str | None]:
    """Look once more at everything that could name an image, right before it goes.

    Returns:
        The account as it is now, and why the image stays; None when it still is to go.
    """
    ours, ami = release_pointers(ctx), verdict.image.id
    image = images.get(ctx.aws, ami)
    if image is None:
        return account, "it is gone already"
    around = {one.id: one for one in (*account.owned, *images.list_related(ctx.aws, image), image)}
    census = references.read_references(ctx.aws, ours, previous=account.references, ami=ami)
    now = AccountSnapshot(
        owned=tuple(around.values()),
        references=census,
        shares={**account.shares, ami: images.shared_with(ctx.aws, ami)},
        hints=references.image_references(ctx.aws, ami),
    )
    found = next(v for v in judge(ctx, now) if v.image.id == ami)
    return now, None if found.action in ("deregister", "later") else found.reason


def deprecate(ctx: Context, verdict: RetentionDecision) -> None:
    """Deprecate an image; or take that back for one that is wanted again. The tag tells that it was us."""
    image = verdict.image
    if verdict.action == "deprecate":
        images.tag(ctx.aws, [image.id], {PRUNED: ctx.clock.now().isoformat(timespec="seconds")})
        images.deprecate(ctx.aws, image.id, ctx.clock.now() + SOON)
    elif verdict.action == "restore":
        images.cancel_deprecation(ctx.aws, image.id)
        images.untag(ctx.aws, [image.id], [PRUNED])


def deregister(ctx: Context, account: AccountSnapshot, verdict: RetentionDecision, snapshots: dict[str, str]) -> str:
    """Deregister an image and delete the snapshots that were its alone; says why when EC2 does not let us."""
    image = verdict.image
    alone = own_snapshots(image, account.owned)
    images.tag(ctx.aws, alone, {ORPHANED: image.id})
    refused = images.deregister(ctx.aws, image.id)
    if refused:
        images.untag(ctx.aws, alone, [ORPHANED])
        return refused
    ctx.progress.detail(f"deregistered {image.name} ({image.id})")
    for snapshot in alone:
        if images.delete_snapshot(ctx.aws, snapshot):
            snapshots[snapshot] = image.id
    return ""


def resume_interrupted(ctx: Context, account: AccountSnapshot) -> dict[str, str]:
    """Delete the snapshots of images that a run deregistered before it died; forget those whose image it did not reach."""
    existing = {image.id for image in account.owned}
    used = {snapshot for image in account.owned for snapshot in image.snapshots}
    deleted = {}
    for snapshot, ami in images.find_orphaned_snapshots(ctx.aws).items():
        if ami in existing or snapshot in used:
            images.untag(ctx.aws, [snapshot], [ORPHANED])
        elif images.delete_snapshot(ctx.aws, snapshot):
            deleted[snapshot] = ami
            ctx.progress.detail(f"deleted {snapshot} of {ami}, which an interrupted run deregistered")
    return deleted
