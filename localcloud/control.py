"""Start, stop and inspect a local cloud from another process, such as the tasks and the command line."""

from __future__ import annotations

import hmac
import http.client
import json
import os
import secrets
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

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from localcloud.credentials import Credentials, proof
from localcloud.errors import CloudError, NotOurCloudError
from localcloud.state_dir import StateDir

START_SECONDS = 900.0  # the first start builds the base image, through a possibly slow mirror
STOP_SECONDS = 120.0
SERVE = (sys.executable, "-m", "localcloud", "serve")
Log = Callable[[str], None]


@dataclass(frozen=True)
class CloudInfo:
    """Endpoint and contents of a running local cloud."""

    endpoint: str
    region: str
    account: str
    state: str
    driver: str
    pid: int
    range: str
    access_key: str
    secret_key: str = field(repr=False)
    instances: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    balancers: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)


def print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def up(state: Path | None = None, log: Log = print_to_stderr, serve: Sequence[str] = SERVE) -> CloudInfo:
    """Start the cloud of a state folder unless it runs, and wait until it answers. Concurrent calls start it once. Raises
    CloudError with the log's path if it does not start."""
    folder = StateDir.at(state)
    if info := status(folder.root):
        return info
    folder.prepare()
    with folder.locked("up"):
        if info := status(folder.root):
            return info
        return _start(folder, log, serve)


def status(state: Path | None = None) -> CloudInfo | None:
    """Return the cloud that runs in a state folder; None if none runs."""
    folder = StateDir.at(state)
    if (server := folder.read_server_file()) is None:
        return None
    owner = folder.read_owner()
    try:
        info = request(server["endpoint"], owner, "GET", "status")
    except (OSError, http.client.HTTPException, NotOurCloudError):
        return None  # the server was killed, and another process may have its address now
    return CloudInfo(**info, access_key=owner.access_key, secret_key=owner.secret_key)


def down(state: Path | None = None, log: Log = print_to_stderr) -> bool:
    """Power the machines off and end the server. The state is kept. Returns False if no server runs."""
    folder = StateDir.at(state)
    if not folder.is_owned():
        return False
    if (info := status(folder.root)) is None:
        with folder.locked("server", wait=False) as not_running:
            if not_running:
                return False
        # The server starts or ends: it is ended below once it answers.
    deadline = time.monotonic() + STOP_SECONDS
    requested = False
    while time.monotonic() < deadline:
        with folder.locked("server", wait=False) as ended:
            if ended:
                return True
        if not requested and (info := info or status(folder.root)):
            log(f"stopping the local cloud {info.endpoint}")
            request(info.endpoint, folder.read_owner(), "POST", "shutdown")
            requested = True
        time.sleep(0.1)
    if info:
        log(f"the server {info.pid} does not end: killing it (the next start cleans up its machines)")
        os.kill(info.pid, signal.SIGKILL)
        return True
    raise CloudError(f"The local cloud of {folder.root} neither answers nor ends; its log is {folder.log}")


def reset(state: Path | None = None, log: Log = print_to_stderr) -> None:
    """End the cloud and delete its state."""
    folder = StateDir.at(state)
    down(folder.root, log)
    if folder.is_owned():
        from localcloud.machines.cleanup import reap  # slow to import, and only needed here

        for action in reap(folder.machines):
            log(f"cleaned up: {action}")
    folder.remove()


def request(
    endpoint: str, owner: Credentials, method: str, what: str, value: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Send a signed control call to the server.

    Raises:
        OSError: It does not answer.
        NotOurCloudError: The answer does not prove that the server has the owner's key.
        CloudError: It refuses the call.
    """
    body = b"" if value is None else json.dumps(value).encode()
    nonce = secrets.token_hex(16)
    call = AWSRequest(method, f"{endpoint}/_localcloud/{what}", {"X-Localcloud-Nonce": nonce}, body)
    SigV4Auth(BotocoreCredentials(owner.access_key, owner.secret_key), "localcloud", "local").add_auth(call)
    address = urlsplit(endpoint)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)  # never through a proxy
    with closing(connection):
        connection.request(method, address.path + f"/_localcloud/{what}", body, dict(call.headers.items()))
        reply = connection.getresponse()
        text = reply.read()
    if not hmac.compare_digest(reply.headers.get("X-Localcloud-Proof", ""), proof(owner, nonce, text)):
        raise NotOurCloudError(f"{endpoint} is not the local cloud of this state folder")
    if reply.status >= 400:
        raise CloudError(f"The local cloud refused {what}: {text.decode(errors='replace')}")
    result: dict[str, Any] = json.loads(text)
    return result


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
