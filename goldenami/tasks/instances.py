"""Tasks that work on single instances: list, console, logs, ssh, terminate, update."""

from __future__ import annotations

from invoke import Exit

from goldenami.tasks.runner import ContextFactory, print_report, recipe_task

_INSTANCE = "id of the instance (default: the only one)"


@recipe_task()
def instances(open_context: ContextFactory, json: bool = False) -> None:
    """List the instances of the fleet: state, image, version, health, drift."""
    from goldenami.fleet import report
    from goldenami.infra import describe

    print_report(report.instances(describe.list_instances(open_context())), json=json)


@recipe_task(instance=_INSTANCE)
def console(open_context: ContextFactory, instance: str = "") -> None:
    """Print the console output of an instance, up to an hour after its termination."""
    from goldenami.fleet import instances
    from goldenami.text import printable

    print(printable(instances.console(open_context(), instance)))


@recipe_task(
    instance=_INSTANCE,
    lines="number of lines to start with",
    follow="print new lines until interrupted",
    key="file of the private key, if only SSH reaches the instance",
)
def logs(
    open_context: ContextFactory, instance: str = "", lines: int = 100, follow: bool = False, key: str = ""
) -> None:
    """Print the service's journal on an instance, read through Run Command or SSH."""
    from goldenami.fleet import instances
    from goldenami.text import printable

    instances.logs(
        open_context(), instance, lines, follow=follow, show=lambda text: print(printable(text), flush=True), key=key
    )


@recipe_task(instance=_INSTANCE, key="file of the private key", run="command to run instead of a shell")
def ssh(open_context: ContextFactory, instance: str = "", key: str = "", run: str = "") -> None:
    """Open an SSH session on an instance (needs key_name under [fleet])."""
    from goldenami.fleet import instances

    raise Exit(code=instances.ssh(open_context(), instance, key, run))


@recipe_task(
    instance="id of the instance",
    decrement="also reduce the size of the group, so that the instance is not replaced",
    force="terminate it even if it is the last instance in service",
    lose_data="terminate it even if its database cannot be backed up (the data will be lost)",
)
def terminate(
    open_context: ContextFactory, instance: str, decrement: bool = False, force: bool = False, lose_data: bool = False
) -> None:
    """Terminate an instance of the fleet; the group launches a new one. Prints the instance id.

    A database on the instance is backed up first; restore it on the new one with `./invoke db.restore`.
    """
    from goldenami.fleet import instances

    print(instances.terminate(open_context(), instance, decrement=decrement, force=force, lose_data=lose_data).id)


@recipe_task(
    ref="branch, tag or commit (default: the recipe's)",
    instance="update only this instance",
    key="file of the private key, if only SSH reaches the instance",
)
def update(open_context: ContextFactory, ref: str = "", instance: str = "", key: str = "") -> None:
    """Update the application on the instances in place: fetch, build, restart, health check; roll back on failure.

    Uses Run Command ([fleet] run_command), otherwise SSH (key_name). The instances are tagged as drifted from their image; a
    permanent update needs a bake and a promotion.
    """
    from goldenami.fleet import report, update

    print(report.updated(update.update(open_context(), ref, instance, key)))
