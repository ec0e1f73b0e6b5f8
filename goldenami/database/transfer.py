"""Carry the rows of one instance to another: stop writes, back up, restore, compare, and only then let anybody write again.

Every step is written down before it is taken (values/handover.py), so that whoever comes after a crash finds the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from goldenami.aws import objects, parameters
from goldenami.context import Shop
from goldenami.database import agent as custody
from goldenami.database import backup, volume
from goldenami.database.backup_model import Manifest, differences, fingerprint, prefix
from goldenami.database.switchover_model import By, Handover, parse
from goldenami.errors import GateError, GoldenError
from goldenami.state.lock import Held
from goldenami.summary import seconds


@dataclass(frozen=True)
class Carried:
    """Rows that have arrived, and since when nobody could write (the clock's seconds)."""

    handover: Handover
    began: float


def place(shop: Shop) -> str:
    """The parameter that says where the rows are while they go from one instance to another."""
    return f"/goldenami/{shop.name}/handover"


def find(shop: Shop) -> Handover | None:
    """The handover that is under way, or was when somebody died."""
    found = parameters.get(shop.aws, place(shop))
    return parse(found.value) if found else None


def note(shop: Shop, handover: Handover) -> Handover:
    """Write down where it stands."""
    parameters.overwrite(shop.aws, place(shop), handover.text())
    return handover


def forget(shop: Shop) -> None:
    """It is over."""
    parameters.delete(shop.aws, place(shop))


def way(shop: Shop) -> By:
    """How rows go from one instance to another."""
    return "volume" if shop.recipe.database.on_volume else "backup"


def has(shop: Shop, instance: str) -> bool:
    """Whether an instance has what it is to hand over: a volume may not have come to it, its own disk always has."""
    return way(shop) != "volume" or volume.holds(shop, instance)


def carry(shop: Shop, claim: Held, handover: Handover) -> Carried:
    """Carry the rows from the source to the target, which is up and has never served.

    When it fails, the source is open again and serves, with all its rows.

    Raises:
        GateError: It did not work; the rows are still where they were.
    """
    if handover.by == "backup":
        custody.ensure_vault(shop)
    handover = note(shop, handover.at("moving"))
    source, target = handover.source, handover.target
    began = shop.clock.monotonic()
    shop.progress.say(f"writes stop on {source}")
    try:
        if handover.by == "volume":
            volume.house(shop, target, why=f"before {handover.run} brought it to {target}")
            told = f"every row is on {target}, with its volume"
        else:
            identity = backup_id(handover)
            custody.ask(shop, source, "fence", backup=identity)
            manifest = backup.take(shop, source, identity, f"handover to {target}", beat=claim.beat)
            receive(shop, target, manifest, replace=handover.replaces, beat=claim.beat)
            told = f"{manifest.fingerprint.rows} row(s) are on {target}, compared table by table"
        claim.confirm()
        custody.ask(shop, target, "open")
    except BaseException as error:
        give_back(shop, handover)
        if not isinstance(error, GoldenError):
            raise
        raise GateError(
            f"the rows of {source} could not be carried to {target}: {error.message}",
            state=f"{source} takes writes again, with all its rows; they were stopped for"
            f" {seconds(shop.clock.monotonic() - began)}.",
            next=error.next,
        ) from None
    handover = note(shop, handover.at("opened"))
    shop.progress.say(told)
    return Carried(handover, began)


def receive(
    shop: Shop, instance: str, manifest: Manifest, *, replace: bool, beat: Callable[[], object] = lambda: None
) -> None:
    """Restore a backup beside what an instance has, compare it with its manifest, and only then put it in its place.

    Raises:
        GateError: It differs, or does not work; what the instance had is still there.
    """
    restore(shop, instance, manifest, replace=replace, beat=beat)
    custody.ask(shop, instance, "adopt", backup=manifest.id, replace=replace)


def restore(
    shop: Shop, instance: str, manifest: Manifest, *, replace: bool, beat: Callable[[], object] = lambda: None
) -> None:
    """The first half of that: it is restored and compared, and counts for nothing yet.

    Raises:
        GateError: It differs, or does not work; what the instance had is still there.
    """
    result = f"restored-{instance}.json"
    custody.ask(shop, instance, "restore", backup=manifest.id, result=result, replace=replace, beat=beat)
    text = objects.get(shop.aws, custody.vault(shop), f"{prefix(shop.name, manifest.id)}/{result}")
    wrong = differences(manifest, fingerprint(json.loads(text))) if text else ["it was not compared"]
    if wrong:
        raise GateError(
            f"what was restored on {instance} is not what {manifest.id} holds: {'; '.join(wrong[:10])}",
            state="What the instance had is still there.",
            next="./invoke db.verify",
        )


def give_back(shop: Shop, handover: Handover) -> None:
    """Before the rows have arrived: the source serves again, with all of them. Safe to repeat.

    Raises:
        GateError: It does not; the rows are there.
    """
    if handover.by == "volume":
        if not handover.had:
            return
        try:
            volume.house(shop, handover.source, stop=True)
        except GoldenError as error:
            raise GateError(
                f"the volume with every row does not come back to {handover.source}: {error.message}",
                state=error.state or "Nobody is served; the rows are on the volume.",
                next=error.next or "./invoke rollback tries again",
            ) from None
    open_again(shop, handover.source)


def open_again(shop: Shop, instance: str) -> None:
    """Let an instance whose writes were stopped serve again.

    Raises:
        GateError: It does not; its rows are there.
    """
    try:
        custody.ask(shop, instance, "open")
    except GoldenError as error:
        raise GateError(
            f"{instance} has all its rows, but does not serve again: {error.message}",
            state="Its writes may still be stopped.",
            next=f"./invoke logs --instance {instance}; the same command tries again",
        ) from None


def backup_id(handover: Handover) -> str:
    """The backup of a handover: one for each direction."""
    return f"{handover.run}-back" if handover.back else f"{handover.run}-carry"
