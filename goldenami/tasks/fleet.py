"""The fleet's parts: make them, list them, take them down; and what each task needs to be allowed."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import Opened, operation, say


@operation(
    ami="launch a new fleet from this AMI",
    plan="only list",
)
def create(opened: Opened, ami: str = "", plan: bool = False, json: bool = False) -> None:
    """Make the fleet, or correct it: launch template, Auto Scaling group, balancer, role; prints its address.

    Everything is found again by its name, so repeating it changes nothing. The first image of a new fleet is production's,
    else the candidate, which becomes production once the fleet serves it. A fleet that exists keeps its image.
    """
    from goldenami.fleet import create as fleet
    from goldenami.fleet import report as fleet_telling

    shop = opened()
    if plan:
        print(fleet_telling.parts(fleet.look(shop), "create", as_json=json))
        return
    made = fleet.create(shop, ami)
    say(fleet_telling.created(shop, made))
    print(fleet_telling.facts(shop, made) if json else made.address)


@operation()
def show(opened: Opened, json: bool = False) -> None:
    """List the parts of the fleet, and which of them are there."""
    from goldenami.fleet import create as fleet
    from goldenami.fleet import report as fleet_telling

    print(fleet_telling.parts(fleet.look(opened()), "show", as_json=json))


@operation(
    plan="only list",
    yes="really do it",
    lose_data="even if rows on its instances cannot be backed up: they are lost",
)
def destroy(opened: Opened, plan: bool = False, yes: bool = False, lose_data: bool = False, json: bool = False) -> None:
    """Take the fleet down: users are not served any more. Images, parameters and backups stay.

    Rows that its instances hold are backed up first.
    """
    from goldenami.fleet import create as fleet
    from goldenami.fleet import report as fleet_telling

    shop = opened()
    if plan or not yes:
        print(fleet_telling.parts(fleet.look(shop), "destroy", as_json=json))
        if not plan:
            raise Exit("error: this ends the service\nNext: ./invoke fleet.destroy --yes", 2)
        return
    print(fleet_telling.removed(fleet.destroy(shop, lose_data=lose_data), as_json=json))


@operation(
    task="the task, like promote",
)
def policy(opened: Opened, task: str) -> None:
    """Print the least-privilege IAM policy of a task, as JSON."""
    from goldenami.fleet import machine_telling

    print(machine_telling.policy(opened(), task))
