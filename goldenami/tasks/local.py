"""Tasks that control the embedded cloud on this machine: up, down, status, reset."""

from __future__ import annotations

import shlex

from invoke import Context, Exit, task

from goldenami.tasks.runner import cloud_errors, command, print_status, start_cloud


@task(
    help={"env": 'print the endpoint and the owner\'s access key as shell variables: eval "$(./invoke local.up --env)"'}
)
@command
def up(_: Context, env: bool = False) -> None:
    """Start the embedded cloud. Prints its endpoint. (Tasks that need it start it automatically.)"""
    cloud = start_cloud(print_status)
    if not env:
        print(cloud.endpoint)
        return
    variables = {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_REGION": cloud.region,
        "AWS_ACCESS_KEY_ID": cloud.access_key,
        "AWS_SECRET_ACCESS_KEY": cloud.secret_key,
    }
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


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
