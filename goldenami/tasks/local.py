"""Tasks that control the embedded cloud on this machine: up, down, status, reset."""

from __future__ import annotations

from invoke import Context, Exit, task

from goldenami.tasks.runner import cloud_errors, command, print_status, start_cloud


@task
@command
def up(_: Context) -> None:
    """Start the embedded cloud. Prints its endpoint. (Tasks that need it start it automatically.)"""
    print(start_cloud(print_status).endpoint)


@task
@command
def down(_: Context) -> None:
    """Stop the embedded cloud and its machines. Images, parameters and disks are kept."""
    from localcloud import control

    with cloud_errors():
        control.down()


@task(help={"json": "print JSON"})
@command
def status(_: Context, json: bool = False) -> None:
    """Print whether the embedded cloud is running, its endpoint, and its contents."""
    from localcloud import __main__

    raise Exit(code=__main__.run("status", as_json=json))


@task(help={"yes": "confirm the deletion"})
@command
def reset(_: Context, yes: bool = False) -> None:
    """Stop the embedded cloud and delete its machines, images and parameters."""
    from localcloud import control

    if not yes:
        raise Exit("error: this deletes every local image, machine and parameter\nNext: ./invoke local.reset --yes", 2)
    with cloud_errors():
        control.reset()
