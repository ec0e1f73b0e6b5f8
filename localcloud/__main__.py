"""The command line of the local cloud: `python -m localcloud up|down|status|reset|serve [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime

from localcloud import control
from localcloud.errors import CloudError
from localcloud.state_dir import StateDir

COMMANDS = {
    "up": "start the cloud unless it runs, and print its endpoint",
    "down": "power its machines off and end it; its state is kept",
    "status": "print its endpoint and contents; exit code 3 if it does not run",
    "reset": "end the cloud and delete its state",
    "serve": "run in the foreground (used by `up`)",
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m localcloud", description="An AWS cloud on this machine's loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in ("up", "status"):
            command.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        return run(options.command, as_json=getattr(options, "json", False))
    except CloudError as error:
        print(error, file=sys.stderr)
        return 1


def run(command: str, *, as_json: bool) -> int:
    if command == "serve":
        from localcloud.server.app import serve  # imports moto, which takes half a second

        serve(StateDir.at(None), log_with_time)
    elif command == "up":
        print_info(control.up(), as_json)
    elif command == "status":
        info = control.status()
        if info is None:
            print("{}" if as_json else f"not running ({StateDir.at(None).root})")
            return 3
        print_info(info, as_json)
    elif command == "down":
        control.down()
    elif command == "reset":
        control.reset()
    return 0


def print_info(info: control.CloudInfo, as_json: bool) -> None:
    if as_json:
        print(json.dumps({k: v for k, v in asdict(info).items() if k != "secret_key"}, indent=2))
        return
    print(f"endpoint  {info.endpoint}   region {info.region}   account {info.account}")
    print(f"machines  {info.driver}   range {info.range}   pid {info.pid}")
    print(f"state     {info.state}")
    for one in info.instances:
        print(f"instance  {one['id']}  {one['state']:13} {one['address'] or '-':15} {one['image']}")
    for one in info.groups:
        print(f"group     {one['name']}  {one['in_service']} of {one['desired']} in service")
    for one in info.balancers:
        print(f"balancer  {one['name']}  {one['state']:13} {one['address']}")
    for one in info.images:
        print(f"image     {one['id']}  {one['state']:13} {one['bytes'] / 1e6:6.0f} MB  {one['name']}")


def log_with_time(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
