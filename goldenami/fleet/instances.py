"""The fleet's machines, one by one: list, console, logs, log in, terminate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from goldenami.aws import auto_scaling as groups
from goldenami.aws import instances
from goldenami.context import Shop
from goldenami.database import freeze as pausing
from goldenami.database import guard
from goldenami.database.pause import Pause
from goldenami.errors import AwsError, GateError, UsageError
from goldenami.infra import describe as scenery
from goldenami.infra import launch_template_plan as data
from goldenami.infra import remote as reaching
from goldenami.model.fleet import Group
from goldenami.model.machine import Machine
from goldenami.state import lock as claims
from goldenami.state import logbook
from goldenami.summary import table
from goldenami.tools import process as shell
from goldenami.tools.clock import attempts


def every(shop: Shop) -> list[Machine]:
    """Every instance of the fleet, the oldest first."""
    scene = scenery.read(shop)
    grouped = [group for group in (scene.group, scene.trial.group if scene.trial else None) if group]
    members = {m.id: m for group in grouped for m in group.members}
    found = []
    for one in instances.tagged(shop.aws, data.FLEET, shop.name):
        member = members.get(one.id)
        found.append(
            Machine(
                id=one.id,
                image=one.image,
                state=one.state,
                address=one.address,
                zone=one.zone,
                version=member.version if member else 0,
                grouped=member is not None,
                lifecycle=member.lifecycle if member else "",
                target=member.target if member else "",
                launched=one.launched,
                drifted=one.tags.get(groups.DRIFTED, ""),
            )
        )
    return sorted(found, key=lambda machine: (machine.launched, machine.id))


def tell(found: list[Machine], *, as_json: bool) -> str:
    """The list, for people or scripts."""
    if as_json:
        return json.dumps([asdict(machine) for machine in found], ensure_ascii=False)
    if not found:
        return "no instances; ./invoke fleet.create or ./invoke deploy makes some"
    head = ["INSTANCE", "STATE", "ZONE", "ADDRESS", "IMAGE", "VERSION", "GROUP", "TARGET", "LAUNCHED", "DRIFT"]
    rows = [
        [
            m.id,
            m.state,
            m.zone,
            m.address,
            m.image,
            str(m.version or "-"),
            m.lifecycle or "-",
            m.target or "-",
            m.launched[:16],
            m.drifted,
        ]
        for m in found
    ]
    return table(head, rows)


def pick(shop: Shop, instance: str) -> Machine:
    """The instance that is meant: by its id, or the only one.

    Raises:
        UsageError: There is none, or there are several and none is named.
    """
    found = every(shop)
    if instance:
        named = [m for m in found if m.id == instance]
        if named:
            return named[0]
        raise UsageError(f"{instance} is not an instance of {shop.name}", next="./invoke instances")
    running = [m for m in found if m.state == "running"] or found
    if len(running) == 1:
        return running[0]
    told = ", ".join(m.id for m in running) or "none"
    raise UsageError(f"which instance? there are: {told}", next="./invoke instances, then --instance i-…")


def console(shop: Shop, instance: str) -> str:
    """What an instance printed on its console, also for a while after it has gone."""
    machine = instance if instance.startswith("i-") else pick(shop, instance).id
    return instances.console(shop.aws, machine)


def logs(shop: Shop, instance: str, lines: int, *, follow: bool, show: Callable[[str], None], key: str = "") -> None:
    """The service's journal, through Run Command or SSH; with `follow`, what comes, until interrupted.

    Raises:
        AwsError: The instance cannot be reached.
    """
    machine = pick(shop, instance)
    cursor = ""
    for _ in attempts(shop.clock, timeout=float("inf") if follow else 0, every=2):
        since = f"--after-cursor='{cursor}'" if cursor else f"--lines={lines}"
        script = f"journalctl --unit={shop.name} --no-pager --show-cursor {since}"
        said = reaching.run(shop, machine, script, key=key)
        if said.code != 0:
            raise AwsError(f"the journal of {machine.id} cannot be read: {said.stderr.strip() or said.status}")
        text, mark, found = said.stdout.rpartition("-- cursor: ")
        cursor = found.strip() if mark else cursor
        if text := (text if mark else said.stdout).strip("\n"):
            show(text)


def ssh(shop: Shop, instance: str, key: str, command: str) -> int:
    """Log in to an instance; its exit code comes back.

    Raises:
        UsageError: The recipe opens no SSH.
    """
    if not shop.recipe.fleet.key_name:
        raise UsageError(
            "the fleet lets nobody in by SSH",
            next="set key_name under [fleet] in golden.toml, ./invoke fleet.create, then promote; or ./invoke logs",
        )
    machine = pick(shop, instance)
    return shell.foreground([*reaching.ssh(shop, machine, key), *([command] if command else [])])


def terminate(shop: Shop, instance: str, *, decrement: bool, force: bool, lose_data: bool = False) -> Machine:
    """Terminate an instance; the group replaces it unless its size goes down with it.

    Rows that it holds are backed up first, once its writes are stopped; what replaces it has none of them.

    Raises:
        GateError: It is the last one that serves, and `force` is not given; or its rows cannot be saved.
        BusyError: Somebody is changing the fleet.
    """
    machine = pick(shop, instance)
    with (
        logbook.opened(shop, "terminate", instance=machine.id) as run,
        claims.held(shop, run.id, f"terminate {machine.id}") as claim,
    ):
        pausing.settle(shop)
        group = scenery.read(shop).group
        if not force and _last(machine, group, every(shop)):
            raise GateError(
                f"{machine.id} is the last instance that serves", state="It runs on.", next="the same with --force"
            )
        with pausing.held(shop, Pause(run.id, f"terminate {machine.id}", (machine.id,)), ending=True):
            guard.save(shop, claim, run.id, [machine.id], f"before terminate {machine.id}", lose=lose_data)
            if machine.grouped:
                groups.terminate(shop.aws, machine.id, decrement=decrement)
            else:
                instances.terminate(shop.aws, shop.clock, machine.id)
    return machine


def _last(machine: Machine, group: Group | None, found: list[Machine]) -> bool:
    if group is not None and machine.grouped:
        serving = [m.id for m in group.members if m.serving]
    else:
        serving = [m.id for m in found if m.state == "running"]
    return serving == [machine.id]
