"""The fleet's instances, one by one: list, console, logs, SSH, terminate."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ContextFactory, recipe_task


@recipe_task()
def instances(opened: ContextFactory, json: bool = False) -> None:
    """List the fleet's instances: state, image, version, health, drift."""
    from goldenami.fleet import report as fleet_report
    from goldenami.infra import describe

    print(fleet_report.instances(describe.list_instances(opened()), as_json=json))


@recipe_task(instance="which one (default: the only one)")
def console(opened: ContextFactory, instance: str = "") -> None:
    """Print what an instance wrote on its console, also for an hour after it is gone."""
    from goldenami.fleet import instances as fleet_instances

    print(fleet_instances.console(opened(), instance))


@recipe_task(
    instance="which one (default: the only one)",
    lines="how many lines to begin with",
    follow="go on until interrupted",
    key="the private key's file, where only SSH reaches it",
)
def logs(opened: ContextFactory, instance: str = "", lines: int = 100, follow: bool = False, key: str = "") -> None:
    """Print the service's journal of an instance, through Run Command or SSH."""
    from goldenami.fleet import instances as fleet_instances

    fleet_instances.logs(opened(), instance, lines, follow=follow, show=lambda text: print(text, flush=True), key=key)


@recipe_task(
    instance="which one (default: the only one)",
    key="the private key's file",
    run="a command to run instead of a shell",
)
def ssh(opened: ContextFactory, instance: str = "", key: str = "", run: str = "") -> None:
    """Log in to an instance (needs key_name under [fleet])."""
    from goldenami.fleet import instances as fleet_instances

    raise Exit(code=fleet_instances.ssh(opened(), instance, key, run))


@recipe_task(
    instance="which one",
    decrement="let the group's size go down with it, so that it is not replaced",
    force="even if it is the last one that serves",
    lose_data="even if its rows cannot be backed up: they are lost",
)
def terminate(
    opened: ContextFactory, instance: str, decrement: bool = False, force: bool = False, lose_data: bool = False
) -> None:
    """Terminate an instance of the fleet; the group launches another one. Prints its id.

    Rows that it holds are backed up first; `./invoke db.restore` puts them on the new one.
    """
    from goldenami.fleet import instances as fleet_instances

    print(fleet_instances.terminate(opened(), instance, decrement=decrement, force=force, lose_data=lose_data).id)
