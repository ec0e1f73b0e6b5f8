"""A fake `packer` for PATH that plays a scenario; like the real one, it is a wrapper process around a worker.

The real Packer restarts itself under a wrapper that reports crashes (mitchellh/panicwrap). The wrapper ignores
SIGINT, because a terminal sends that to its child as well, and forwards SIGTERM. So does this one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A shell script answers the short commands, because it starts faster; the worker is Python.
FRONT = r"""#!/bin/sh
here={here}
log=$(mktemp "$here/calls/$(ls "$here/calls" | wc -l | xargs printf %03d).XXXXXX")
{{ printf '%s\0' "$@"; printf '\n\0'; pwd; env; }} >"$log"
case $1 in
  version) cat "$here/version"; exit ;;
  init | validate) cat "$here/refusal"; test ! -s "$here/refusal"; exit ;;
esac
exec {python} -IS "$here/worker" "$here"
"""

WORKER = r"""
import hashlib, json, os, pathlib, signal, sys, time

here = pathlib.Path(sys.argv[1])
scenario = json.loads((here / "scenario.json").read_text())

child = os.fork()
if child:  # the wrapper
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    while True:
        try:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        except InterruptedError:
            pass

def stop(*_):
    print("1,,ui,say,Cancelling build after receiving a signal", flush=True)
    (here / "cleaning").touch()
    while (here / "hold").exists():
        time.sleep(0.01)
    (here / "cleaned").touch()
    print("1,,ui,say,Cleanly cancelled builds after being interrupted.", flush=True)
    os._exit(1)

signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
folder = pathlib.Path.cwd()
layer = folder.name
part = {**scenario, **scenario.get(layer, {})}
for line in part.get("lines", []):
    print(line, flush=True)
if part.get("image"):
    made = part["image"] if isinstance(part["image"], str) else "ami-" + hashlib.sha256(str(folder).encode()).hexdigest()[:17]
    values = json.loads((folder / "golden.auto.pkrvars.json").read_text())
    tags = values["tags"] if part.get("tagged", True) else {}
    image = {"ImageId": made, "Name": values["ami_name"], "Tags": tags, "State": part.get("state", "available")}
    account = pathlib.Path(scenario["account"])
    (account / f"{made}.json").write_text(json.dumps(image))
    if part.get("manifest", True):
        builds = [{"artifact_id": "ap-northeast-2:" + made, "name": "golden"}]
        (folder / "packer-manifest.json").write_text(json.dumps({"builds": builds}))
if part.get("hang"):
    (here / "hanging").touch()
    while True:
        time.sleep(0.01)
sys.exit(part.get("code", 0))
"""


class FakePacker:
    """The fake Packer, in a folder that comes first on PATH."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        (folder / "calls").mkdir()
        (folder / "worker").write_text(WORKER, encoding="utf-8")
        program = folder / "packer"
        program.write_text(FRONT.format(here=folder, python=sys.executable), encoding="utf-8")
        program.chmod(0o755)
        self.scenario: dict[str, Any] = {"version": "Packer v1.11.2"}
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Change the scenario."""
        self.scenario |= changes
        for name in ("version", "refusal"):
            (self.folder / name).write_text(self.scenario.get(name, ""), encoding="utf-8")
        (self.folder / "scenario.json").write_text(json.dumps(self.scenario), encoding="utf-8")

    def calls(self, word: str = "build") -> list[dict[str, Any]]:
        """Return the calls of a subcommand, oldest first."""
        calls = []
        for log in sorted((self.folder / "calls").iterdir()):
            words, _, rest = log.read_text(encoding="utf-8").partition("\0\n\0")
            cwd, *env = rest.splitlines()
            environment = dict(line.partition("=")[::2] for line in env)
            calls.append({"words": words.split("\0"), "cwd": cwd, "env": environment})
        return [call for call in calls if call["words"][0] == word]

    def reached(self, name: str) -> bool:
        """Return whether it reached a point: `hanging`, `cleaning`, `cleaned`."""
        return (self.folder / name).exists()

    def hold(self) -> None:
        """Make its clean-up wait until `release`."""
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink()


def eventually(what: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait for another process, which no scripted clock can speed up."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.005)
    return found
