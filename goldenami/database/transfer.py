"""Carry the rows of one instance to another: stop writes, back up, restore, compare, and only then let anybody write again.

Every step is written down before it is taken (values/handover.py), so that whoever comes after a crash finds the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from goldenami.aws import parameters, s3
from goldenami.context import Context
from goldenami.database import agent, backup, volume
from goldenami.database.backup_model import Manifest, differences, fingerprint
from goldenami.database.switchover_model import Switchover, TransferMethod, parse_switchover
from goldenami.errors import GateError, GoldenError
from goldenami.model.names import prefix
from goldenami.state.lock import HeldLock
from goldenami.text import seconds


@dataclass(frozen=True)
class TransferResult:
    """Rows that have arrived, and since when nobody could write (the clock's seconds)."""

    handover: Switchover
    began: float


def parameter(shop: Context) -> str:
    """The parameter that says where the rows are while they go from one instance to another."""
    return f"/goldenami/{shop.name}/handover"


def load(shop: Context) -> Switchover | None:
    """The handover that is under way, or was when somebody died."""
    found = parameters.get(shop.aws, parameter(shop))
    return parse_switchover(found.value) if found else None


def save(shop: Context, handover: Switchover) -> Switchover:
    """Write down where it stands."""
    parameters.overwrite(shop.aws, parameter(shop), handover.text())
    return handover


def clear(shop: Context) -> None:
    """It is over."""
    parameters.delete(shop.aws, parameter(shop))


def transfer_method(shop: Context) -> TransferMethod:
    """How rows go from one instance to another."""
    return "volume" if shop.recipe.database.on_volume else "backup"


def source_has_data(shop: Context, instance: str) -> bool:
    """Whether an instance has what it is to hand over: a volume may not have come to it, its own disk always has."""
    return transfer_method(shop) != "volume" or volume.is_attached_to(shop, instance)


def transfer(shop: Context, claim: HeldLock, handover: Switchover) -> TransferResult:
    """Carry the rows from the source to the target, which is up and has never served.

    When it fails, the source is open again and serves, with all its rows.

    Raises:
        GateError: It did not work; the rows are still where they were.
    """
    if handover.by == "backup":
        agent.ensure_backup_bucket(shop)
    handover = save(shop, handover.at("moving"))
    source, target = handover.source, handover.target
    began = shop.clock.monotonic()
    shop.progress.say(f"writes stop on {source}")
    try:
        if handover.by == "volume":
            volume.attach_and_mount(shop, target, why=f"before {handover.run} brought it to {target}")
            told = f"every row is on {target}, with its volume"
        else:
            identity = backup_id(handover)
            agent.run(shop, source, "fence", backup=identity)
            manifest = backup.take_backup(shop, source, identity, f"handover to {target}", beat=claim.beat)
            restore_and_swap_in(shop, target, manifest, replace=handover.replaces, beat=claim.beat)
            told = f"{manifest.fingerprint.rows} row(s) are on {target}, compared table by table"
        claim.confirm()
        agent.run(shop, target, "open")
    except BaseException as error:
        abort(shop, handover)
        if not isinstance(error, GoldenError):
            raise
        raise GateError(
            f"the rows of {source} could not be carried to {target}: {error.message}",
            state=f"{source} takes writes again, with all its rows; they were stopped for"
            f" {seconds(shop.clock.monotonic() - began)}.",
            next=error.next,
        ) from None
    handover = save(shop, handover.at("opened"))
    shop.progress.say(told)
    return TransferResult(handover, began)


def restore_and_swap_in(
    shop: Context, instance: str, manifest: Manifest, *, replace: bool, beat: Callable[[], object] = lambda: None
) -> None:
    """Restore a backup beside what an instance has, compare it with its manifest, and only then put it in its place.

    Raises:
        GateError: It differs, or does not work; what the instance had is still there.
    """
    restore(shop, instance, manifest, replace=replace, beat=beat)
    agent.run(shop, instance, "adopt", backup=manifest.id, replace=replace)


def restore(
    shop: Context, instance: str, manifest: Manifest, *, replace: bool, beat: Callable[[], object] = lambda: None
) -> None:
    """The first half of that: it is restored and compared, and counts for nothing yet.

    Raises:
        GateError: It differs, or does not work; what the instance had is still there.
    """
    result = f"restored-{instance}.json"
    agent.run(shop, instance, "restore", backup=manifest.id, result=result, replace=replace, beat=beat)
    text = s3.get(shop.aws, agent.backup_bucket(shop), f"{prefix(shop.name, manifest.id)}/{result}")
    wrong = differences(manifest, fingerprint(json.loads(text))) if text else ["it was not compared"]
    if wrong:
        raise GateError(
            f"what was restored on {instance} is not what {manifest.id} holds: {'; '.join(wrong[:10])}",
            state="What the instance had is still there.",
            next="./invoke db.verify",
        )


def abort(shop: Context, handover: Switchover) -> None:
    """Before the rows have arrived: the source serves again, with all of them. Safe to repeat.

    Raises:
        GateError: It does not; the rows are there.
    """
    if handover.by == "volume":
        if not handover.had:
            return
        try:
            volume.attach_and_mount(shop, handover.source, stop=True)
        except GoldenError as error:
            raise GateError(
                f"the volume with every row does not come back to {handover.source}: {error.message}",
                state=error.state or "Nobody is served; the rows are on the volume.",
                next=error.next or "./invoke rollback tries again",
            ) from None
    resume_service(shop, handover.source)


def resume_service(shop: Context, instance: str) -> None:
    """Let an instance whose writes were stopped serve again.

    Raises:
        GateError: It does not; its rows are there.
    """
    try:
        agent.run(shop, instance, "open")
    except GoldenError as error:
        raise GateError(
            f"{instance} has all its rows, but does not serve again: {error.message}",
            state="Its writes may still be stopped.",
            next=f"./invoke logs --instance {instance}; the same command tries again",
        ) from None


def backup_id(handover: Switchover) -> str:
    """The backup of a handover: one for each direction."""
    return f"{handover.run}-back" if handover.back else f"{handover.run}-carry"
