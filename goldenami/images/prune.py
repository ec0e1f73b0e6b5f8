"""`invoke prune`: let old images go, each only once nothing in the account names it any more, and say why of every one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from goldenami.aws import images, references
from goldenami.bake import inventory as knowledge
from goldenami.context import Shop
from goldenami.images.prune_plan import Account, Verdict, acting, due, own_snapshots, plan
from goldenami.model.image import ORPHANED, PRUNED
from goldenami.model.references import Pointers
from goldenami.state import runs

# EC2 takes no date in the past, and rounds to the minute.
SOON = timedelta(minutes=2)


@dataclass(frozen=True)
class Pruned:
    """What came of it.

    Attributes:
        verdicts: About every image of ours, newest first.
        snapshots: The snapshots that were deleted, each with the image that it belonged to.
        held: Images that were to go and stayed, because something changed in the meantime; with what.
    """

    verdicts: tuple[Verdict, ...]
    snapshots: Mapping[str, str]
    held: Mapping[str, str]


def prune(shop: Shop, *, plan_only: bool = False) -> Pruned:
    """Deprecate what the policy no longer keeps, and deregister what has been deprecated for long enough.

    Killed at any moment, the next run goes on: what is deregistered is marked on its snapshots first, so that they are found.
    """
    with runs.lock(shop.build / "bake.lock", "a bake is running here; waiting for it to finish", shop.progress.say):
        account = look(shop)
        verdicts = judge(shop, account)
        if plan_only:
            return Pruned(verdicts, {}, {})
        listed = tuple(account.census.parameters)  # before any image went, and before a colleague baked another
        snapshots = finish(shop, account)
        held: dict[str, str] = {}
        for verdict in verdicts:
            warn(shop, verdict)
        for verdict in due(verdicts):
            account, changed = again(shop, account, verdict)
            if changed is None:
                changed = let_go(shop, account, verdict, snapshots)
            if not changed:
                account = replace(account, owned=tuple(i for i in account.owned if i.id != verdict.image.id))
            else:
                held[verdict.image.id] = changed
                shop.progress.say(f"kept {verdict.image.name} ({verdict.image.id}) after all: {changed}")
        knowledge.forget(shop, listed, account.owned)
        return Pruned(verdicts, snapshots, held)


def pointers(shop: Shop) -> Pointers:
    """Our own parameters."""
    return Pointers(production=shop.names.production, candidate=shop.candidate, path=f"/goldenami/{shop.name}")


def judge(shop: Shop, account: Account) -> tuple[Verdict, ...]:
    """The verdicts about an account as it is now."""
    return plan(account, shop.recipe.keep, shop.name, pointers(shop), shop.clock.now())


def look(shop: Shop) -> Account:
    """Read the account. Whom an image is shared with takes a call each, so that is asked only of those that would go."""
    ours = pointers(shop)
    with shop.progress.phase("look for everything that names an image"):
        census = references.take(shop.aws, ours)
        account = Account(images.owned(shop.aws), census)
        while asked := [v.image.id for v in acting(judge(shop, account)) if v.image.id not in account.shares]:
            shares = {ami: images.shared_with(shop.aws, ami) for ami in asked}
            account = replace(account, shares={**account.shares, **shares})
    return account


def again(shop: Shop, account: Account, verdict: Verdict) -> tuple[Account, str | None]:
    """Look once more at everything that could name an image, right before it goes.

    Returns:
        The account as it is now, and why the image stays; None when it still is to go.
    """
    ours, ami = pointers(shop), verdict.image.id
    image = images.get(shop.aws, ami)
    if image is None:
        return account, "it is gone already"
    around = {one.id: one for one in (*account.owned, *images.relatives(shop.aws, image), image)}
    census = references.take(shop.aws, ours, before=account.census, ami=ami)
    now = Account(
        owned=tuple(around.values()),
        census=census,
        shares={**account.shares, ami: images.shared_with(shop.aws, ami)},
        hints=references.hints(shop.aws, ami),
    )
    found = next(v for v in judge(shop, now) if v.image.id == ami)
    return now, None if found.action in ("deregister", "later") else found.reason


def warn(shop: Shop, verdict: Verdict) -> None:
    """Deprecate an image; or take that back for one that is wanted again. The tag tells that it was us."""
    image = verdict.image
    if verdict.action == "deprecate":
        images.tag(shop.aws, [image.id], {PRUNED: shop.clock.now().isoformat(timespec="seconds")})
        images.deprecate(shop.aws, image.id, shop.clock.now() + SOON)
    elif verdict.action == "restore":
        images.restore(shop.aws, image.id)
        images.untag(shop.aws, [image.id], [PRUNED])


def let_go(shop: Shop, account: Account, verdict: Verdict, snapshots: dict[str, str]) -> str:
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


def finish(shop: Shop, account: Account) -> dict[str, str]:
    """Delete the snapshots of images that a run deregistered before it died; forget those whose image it did not reach."""
    existing = {image.id for image in account.owned}
    used = {snapshot for image in account.owned for snapshot in image.snapshots}
    deleted = {}
    for snapshot, ami in images.orphaned(shop.aws).items():
        if ami in existing or snapshot in used:
            images.untag(shop.aws, [snapshot], [ORPHANED])
        elif images.delete_snapshot(shop.aws, snapshot):
            deleted[snapshot] = ami
            shop.progress.detail(f"deleted {snapshot} of {ami}, which an interrupted run deregistered")
    return deleted
