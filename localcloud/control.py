"""Starts, stops and shows a local cloud from another process: what tasks and the command line call."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localcloud.errors import CloudError
from localcloud.state_dir import StateDir

START_SECONDS = 900.0  # the first start builds the base image, through a possibly slow mirror
STOP_SECONDS = 120.0
SERVE = (sys.executable, "-m", "localcloud", "serve")
Log = Callable[[str], None]


@dataclass(frozen=True)
class CloudInfo:
    """How to reach a running local cloud, and what is in it."""

    endpoint: str
    region: str
    account: str
    state: str
    driver: str
    pid: int
    range: str
    access_key: str = "test"
    secret_key: str = "test"  # noqa: S105 - moto takes any
    instances: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    balancers: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)


def print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def up(state: Path | None = None, log: Log = print_to_stderr, serve: Sequence[str] = SERVE) -> CloudInfo:
    """Start the cloud of a state folder unless it runs, and wait until it answers. Two at once start one.

    Raises CloudError with the log's path when it does not start.
    """
    folder = StateDir.at(state)
    if info := status(folder.root):
        return info
    folder.prepare()
    with folder.locked("up"):
        if info := status(folder.root):
            return info
        return _start(folder, log, serve)


def status(state: Path | None = None) -> CloudInfo | None:
    """What runs in a state folder, or None."""
    folder = StateDir.at(state)
    told = folder.read_server_file()
    if told is None:
        return None
    try:
        found = request(told["endpoint"], "GET", "status")
    except OSError:
        return None
    if found.get("state") != str(folder.root):
        return None  # somebody else answers on the address of a server that was killed
    return CloudInfo(**found)


def down(state: Path | None = None, log: Log = print_to_stderr) -> bool:
    """Power the machines off and end the server; False when none runs. What it keeps stays."""
    folder = StateDir.at(state)
    if not folder.is_owned():
        return False
    info = status(folder.root)
    if info is None:
        with folder.locked("server", wait=False) as nobody:
            if nobody:
                return False
        # it is starting or ending; end it by the request below once it answers
    deadline = time.monotonic() + STOP_SECONDS
    asked = False
    while time.monotonic() < deadline:
        with folder.locked("server", wait=False) as ended:
            if ended:
                return True
        if not asked and (info := info or status(folder.root)):
            log(f"stopping the local cloud {info.endpoint}")
            request(info.endpoint, "POST", "shutdown")
            asked = True
        time.sleep(0.1)
    if info:
        log(f"the server {info.pid} does not end: killing it (the next start reaps its machines)")
        os.kill(info.pid, signal.SIGKILL)
        return True
    raise CloudError(f"The local cloud of {folder.root} neither answers nor ends; its log is {folder.log}")


def reset(state: Path | None = None, log: Log = print_to_stderr) -> None:
    """End the cloud and delete all that it kept."""
    folder = StateDir.at(state)
    down(folder.root, log)
    if folder.is_owned():
        from localcloud.machines.cleanup import reap  # heavy, and only needed here

        for what in reap(folder.machines):
            log(f"reaped: {what}")
    folder.remove()


def request(endpoint: str, method: str, what: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call the server's own endpoint (not AWS). Raises OSError when nobody answers."""
    body = None if value is None else json.dumps(value).encode()
    address = urlsplit(endpoint)
    host = str(address.hostname)
    # From the endpoint's own address, which no guest can take (admission.py), and never through a proxy.
    connection = http.client.HTTPConnection(host, address.port, timeout=10, source_address=(host, 0))
    with closing(connection):
        connection.request(method, f"/_localcloud/{what}", body)
        reply = connection.getresponse()
        text = reply.read()
    if reply.status >= 400:
        raise CloudError(f"The local cloud refused {what}: {text.decode(errors='replace')}")
    answer: dict[str, Any] = json.loads(text)
    return answer


def _start(folder: StateDir, log: Log, serve: Sequence[str]) -> CloudInfo:
    begin = folder.log.stat().st_size if folder.log.exists() else 0
    environment = {**os.environ, "GOLDENAMI_STATE": str(folder.root), "PYTHONUNBUFFERED": "1"}
    with folder.log.open("ab") as output:
        process = subprocess.Popen(
            serve,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=Path(__file__).parent.parent,  # where `python -m localcloud` finds this package
            start_new_session=True,  # a ^C in the caller's terminal must not end the cloud
        )
    deadline = time.monotonic() + START_SECONDS
    with folder.log.open(errors="replace") as lines:
        lines.seek(begin)
        last = ""
        while time.monotonic() < deadline:
            for line in lines:
                last = line.strip() or last
                log(line.rstrip())
            if process.poll() is not None:
                last = (lines.read().strip().splitlines() or [last])[-1]
                raise CloudError(f"The local cloud did not start: {last or 'no message'} (log: {folder.log})")
            if info := status(folder.root):
                return info
            time.sleep(0.05)
    process.terminate()
    raise CloudError(f"The local cloud did not answer within {START_SECONDS:.0f} s (log: {folder.log})")
