"""The embedded cloud on this machine: start it, stop it, look at it, empty it."""

from __future__ import annotations

from invoke import Context, Exit, task

from goldenami.tasks.runner import cloud_errors, cloud_up, command, print_status


@task
@command
def up(_: Context) -> None:
    """Start the embedded cloud (every task that needs it does so by itself); prints its endpoint."""
    print(cloud_up(print_status).endpoint)


@task
@command
def down(_: Context) -> None:
    """Stop the embedded cloud and its machines; images, parameters and disks stay."""
    from localcloud import control

    with cloud_errors():
        control.down()


@task(help={"json": "print JSON"})
@command
def status(_: Context, json: bool = False) -> None:
    """Say whether the embedded cloud runs, where, and what is in it."""
    from localcloud import __main__

    raise Exit(code=__main__.run("status", as_json=json))


@task(help={"yes": "really do it"})
@command
def reset(_: Context, yes: bool = False) -> None:
    """Stop the embedded cloud and delete all that is in it: machines, images, parameters."""
    from localcloud import control

    if not yes:
        raise Exit(
            "error: this deletes every local image, machine and parameter\nNext: ./invoke local.reset --yes",
            2,
        )
    with cloud_errors():
        control.reset()
