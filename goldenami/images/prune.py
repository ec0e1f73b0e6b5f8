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


def prune(shop: Context, *, plan_only: bool = False) -> PruneResult:
    """Deprecate what the policy no longer keeps, and deregister what has been deprecated for long enough.

    Killed at any moment, the next run goes on: what is deregistered is marked on its snapshots first, so that they are found.
    """
    with runs.lock(shop.build / "bake.lock", "a bake is running here; waiting for it to finish", shop.progress.say):
        account = read_account(shop)
        verdicts = judge(shop, account)
        if plan_only:
            return PruneResult(verdicts, {}, {})
        listed = tuple(account.census.parameters)  # before any image went, and before a colleague baked another
        snapshots = resume_interrupted(shop, account)
        held: dict[str, str] = {}
        for verdict in verdicts:
            deprecate(shop, verdict)
        for verdict in is_due(verdicts):
            account, changed = recheck(shop, account, verdict)
            if changed is None:
                changed = deregister(shop, account, verdict, snapshots)
            if not changed:
                account = replace(account, owned=tuple(i for i in account.owned if i.id != verdict.image.id))
            else:
                held[verdict.image.id] = changed
                shop.progress.say(f"kept {verdict.image.name} ({verdict.image.id}) after all: {changed}")
        inventory.delete_orphaned(shop, listed, account.owned)
        return PruneResult(verdicts, snapshots, held)


def judge(shop: Context, account: AccountSnapshot) -> tuple[RetentionDecision, ...]:
    """The verdicts about an account as it is now."""
    return plan(account, shop.recipe.keep, shop.name, release_pointers(shop), shop.clock.now())


def read_account(shop: Context) -> AccountSnapshot:
    """Read the account. Whom an image is shared with takes a call each, so that is asked only of those that would go."""
    ours = release_pointers(shop)
    with shop.progress.phase("look for everything that names an image"):
        census = references.read_references(shop.aws, ours)
        account = AccountSnapshot(images.list_owned(shop.aws), census)
        while asked := [v.image.id for v in with_effect(judge(shop, account)) if v.image.id not in account.shares]:
            shares = {ami: images.shared_with(shop.aws, ami) for ami in asked}
            account = replace(account, shares={**account.shares, **shares})
    return account


def recheck(shop: Context, account: AccountSnapshot, verdict: RetentionDecision) -> tuple[AccountSnapshot, str | None]:
    """Look once more at everything that could name an image, right before it goes.

    Returns:
        The account as it is now, and why the image stays; None when it still is to go.
    """
    ours, ami = release_pointers(shop), verdict.image.id
    image = images.get(shop.aws, ami)
    if image is None:
        return account, "it is gone already"
    around = {one.id: one for one in (*account.owned, *images.list_related(shop.aws, image), image)}
    census = references.read_references(shop.aws, ours, before=account.census, ami=ami)
    now = AccountSnapshot(
        owned=tuple(around.values()),
        census=census,
        shares={**account.shares, ami: images.shared_with(shop.aws, ami)},
        hints=references.image_references(shop.aws, ami),
    )
    found = next(v for v in judge(shop, now) if v.image.id == ami)
    return now, None if found.action in ("deregister", "later") else found.reason


def deprecate(shop: Context, verdict: RetentionDecision) -> None:
    """Deprecate an image; or take that back for one that is wanted again. The tag tells that it was us."""
    image = verdict.image
    if verdict.action == "deprecate":
        images.tag(shop.aws, [image.id], {PRUNED: shop.clock.now().isoformat(timespec="seconds")})
        images.deprecate(shop.aws, image.id, shop.clock.now() + SOON)
    elif verdict.action == "restore":
        images.restore(shop.aws, image.id)
        images.untag(shop.aws, [image.id], [PRUNED])


def deregister(shop: Context, account: AccountSnapshot, verdict: RetentionDecision, snapshots: dict[str, str]) -> str:
    """Deregister an image and delete the snapshots that were its alone; says why when EC2 does not let us."""
    image = verdict.image
    alone = own_snapshots(image, account.owned)
    images.tag(shop.aws, alone, {ORPHANED: image.id})
    refused = images.deregister(shop.aws, image.id)
    if refused:
        images.untag(shop.aws, alone, [ORPHANED])
        return refused
    shop.progress.detail(f"deregistered {image.name} ({image.id})")
    for snapshot in alone:
        if images.delete_snapshot(shop.aws, snapshot):
            snapshots[snapshot] = image.id
    return ""


def resume_interrupted(shop: Context, account: AccountSnapshot) -> dict[str, str]:
    """Delete the snapshots of images that a run deregistered before it died; forget those whose image it did not reach."""
    existing = {image.id for image in account.owned}
    used = {snapshot for image in account.owned for snapshot in image.snapshots}
    deleted = {}
    for snapshot, ami in images.find_orphaned_snapshots(shop.aws).items():
        if ami in existing or snapshot in used:
            images.untag(shop.aws, [snapshot], [ORPHANED])
        elif images.delete_snapshot(shop.aws, snapshot):
            deleted[snapshot] = ami
            shop.progress.detail(f"deleted {snapshot} of {ami}, which an interrupted run deregistered")
    return deleted
