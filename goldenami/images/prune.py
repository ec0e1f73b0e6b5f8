"""Apply the retention policy: deprecate old images, and deregister them after the grace period. Images in use are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from goldenami.aws import images, references
from goldenami.bake import environment, inventory
from goldenami.context import Context
from goldenami.images.model import PruneResult
from goldenami.images.prune_plan import AccountSnapshot, RetentionDecision, ending, is_due, own_snapshots, plan
from goldenami.infra.describe import release_pointers
from goldenami.model.image import ORPHANED, PRUNED
from goldenami.tools.clock import timestamp

# EC2 rejects dates in the past, and rounds to the minute.
SOON = timedelta(minutes=2)


def prune(ctx: Context, *, plan_only: bool = False) -> PruneResult:
    """Deprecate images that the policy does not keep, and deregister those whose grace period is over.

    An interrupted run is resumed by the next: snapshots are tagged before their image is deregistered, and found by the tag.
    """
    with environment.bake_lock(ctx):
        account = read_account(ctx)
        decisions = decide(ctx, account)
        if plan_only:
            return PruneResult(decisions, {}, {})
        names = tuple(account.references.parameters)  # before an image is deleted or another checkout bakes one
        snapshots = resume_interrupted(ctx, account)
        kept: dict[str, str] = {}
        for decision in decisions:
            deprecate(ctx, decision)
        for decision in is_due(decisions):
            image = decision.image
            account, reason = recheck(ctx, account, decision)
            if reason is None:
                reason = deregister(ctx, account, decision, snapshots)
            if reason:
                kept[image.id] = reason
                ctx.progress.info(f"kept {image.name} ({image.id}): {reason}")
            else:
                account = replace(account, owned=tuple(i for i in account.owned if i.id != image.id))
        inventory.delete_orphaned(ctx, names, account.owned)
        return PruneResult(decisions, snapshots, kept)


def decide(ctx: Context, account: AccountSnapshot) -> tuple[RetentionDecision, ...]:
    """Return the decision about every image of the recipe."""
    return plan(account, ctx.recipe.retention, ctx.name, release_pointers(ctx), ctx.clock.now())


def read_account(ctx: Context) -> AccountSnapshot:
    """Read the account. Launch permissions take a call per image, so only those of images that would be deleted are read."""
    with ctx.progress.phase("find references to images"):
        index = references.read_references(ctx.aws, release_pointers(ctx))
        account = AccountSnapshot(images.list_owned(ctx.aws), index)
        while unread := [d.image.id for d in ending(decide(ctx, account)) if d.image.id not in account.shares]:
            shares = {ami: images.shared_with(ctx.aws, ami) for ami in unread}
            account = replace(account, shares={**account.shares, **shares})
    return account


def recheck(ctx: Context, account: AccountSnapshot, decision: RetentionDecision) -> tuple[AccountSnapshot, str | None]:
    """Read everything that may reference an image again; return it, and why the image is kept (None if still due)."""
    ami = decision.image.id
    if (image := images.get(ctx.aws, ami)) is None:
        return account, "it does not exist any more"
    owned = {i.id: i for i in (*account.owned, *images.list_related(ctx.aws, image), image)}
    current = AccountSnapshot(
        owned=tuple(owned.values()),
        references=references.read_references(ctx.aws, release_pointers(ctx), previous=account.references, ami=ami),
        shares={**account.shares, ami: images.shared_with(ctx.aws, ami)},
        hints=references.image_references(ctx.aws, ami),
    )
    again = next(d for d in decide(ctx, current) if d.image.id == ami)
    return current, None if again.action in ("deregister", "later") else again.reason


def deprecate(ctx: Context, decision: RetentionDecision) -> None:
    """Deprecate an image, or cancel the deprecation of one that is kept again; a tag marks the deprecation as goldenami's."""
    image = decision.image
    if decision.action == "deprecate":
        images.tag(ctx.aws, [image.id], {PRUNED: timestamp(ctx.clock)})
        images.deprecate(ctx.aws, image.id, ctx.clock.now() + SOON)
    elif decision.action == "restore":
        images.cancel_deprecation(ctx.aws, image.id)
        images.untag(ctx.aws, [image.id], [PRUNED])


def deregister(ctx: Context, account: AccountSnapshot, decision: RetentionDecision, snapshots: dict[str, str]) -> str:
    """Deregister an image and delete its own snapshots; return why EC2 refuses it, or empty."""
    image = decision.image
    own = own_snapshots(image, account.owned)
    images.tag(ctx.aws, own, {ORPHANED: image.id})
    if refusal := images.deregister(ctx.aws, image.id):
        images.untag(ctx.aws, own, [ORPHANED])
        return refusal
    ctx.progress.detail(f"deregistered {image.name} ({image.id})")
    for snapshot in own:
        if images.delete_snapshot(ctx.aws, snapshot):
            snapshots[snapshot] = image.id
    return ""


def resume_interrupted(ctx: Context, account: AccountSnapshot) -> dict[str, str]:
    """Delete snapshots whose image an interrupted run deregistered; untag those whose image still exists."""
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
