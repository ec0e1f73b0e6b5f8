"""`invoke doctor`: look at tools, credentials, permissions, disk and ports, and say how to mend each."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from goldenami.aws import dry_run, session
from goldenami.aws import vpc as aws_vpc
from goldenami.aws.errors import explain
from goldenami.bake import environment
from goldenami.context import Context
from goldenami.errors import GoldenError
from goldenami.infra import network
from goldenami.text import table
from goldenami.tools import packer, process

_DISK_GIB = 10.0
_TOOLS = {
    "git": "apt-get install git",
    "shellcheck": "apt-get install shellcheck",
    "setpriv": "apt-get install util-linux",
}


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is well, what was seen, and how to mend it."""

    name: str
    result: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def run_checks(ctx: Context) -> list[Finding]:
    """Look at this machine and at the account; nothing is changed and nothing is launched."""
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("packer", _packer),
        *((tool, partial(_tool, tool, mend)) for tool, mend in _TOOLS.items()),
        ("disk", lambda: _disk(ctx.root)),
        ("kvm", _kvm),
        ("ssh port", _port),
        ("credentials", lambda: _credentials(ctx)),
        ("network", lambda: _network(ctx)),
        ("source AMI", lambda: _source_ami(ctx)),
        ("permissions", lambda: _permissions(ctx)),
    ]
    return [_run_check(name, look) for name, look in looks]


def _run_check(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:
        known = error if isinstance(error, GoldenError) else explain(error)
        if known is None:
            raise
        return Finding(name, "fail", known.message, known.next or "")


def _packer() -> Finding:
    found = packer.version()
    text = ".".join(map(str, found))
    if found < (1, 6, 6):
        return Finding("packer", "fail", f"{text} is too old", "install Packer 1.6.6 or newer")
    if found < (1, 7, 0):
        detail = f"{text}: cannot require IMDSv2 by itself; goldenami sets it on the finished AMI"
        return Finding("packer", "ok", detail)
    return Finding("packer", "ok", text)


def _tool(tool: str, mend: str) -> Finding:
    found = process.which(tool)
    return Finding(tool, "ok", str(found)) if found else Finding(tool, "warn", "not installed", mend)


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    if free < _DISK_GIB:
        return Finding("disk", "fail", f"{free:.1f} GiB free", f"free {_DISK_GIB:.0f} GiB, or set GOLDENAMI_STATE")
    return Finding("disk", "ok", f"{free:.0f} GiB free")


def _kvm() -> Finding:
    device = Path("/dev/kvm")
    if device.exists() and os.access(device, os.R_OK | os.W_OK):
        return Finding("kvm", "ok", "/dev/kvm is there; whether it boots is probed when a machine starts")
    return Finding("kvm", "warn", "not available: machines are containers (as root) or slow virtual machines")


def _port() -> Finding:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.91.91.91", 22))
        except PermissionError:
            mend = "sudo sysctl net.ipv4.ip_unprivileged_port_start=22, or run as root"
            return Finding("ssh port", "warn", "local machines cannot answer on port 22", mend)
        except OSError as error:
            mend = "let sshd listen on this machine's own addresses only (ListenAddress)"
            return Finding("ssh port", "fail", f"port 22 is taken on every loopback address ({error.strerror})", mend)
    return Finding("ssh port", "ok", "local machines can answer on port 22")


def _credentials(ctx: Context) -> Finding:
    account, arn = session.caller_identity(ctx.aws)
    return Finding("credentials", "ok", f"{arn} in account {account}, {ctx.aws.region}")


def _network(ctx: Context) -> Finding:
    vpc = aws_vpc.subnet_vpc(ctx.aws, ctx.target.subnet_id or None)
    return Finding(
        "network", "ok", f"{vpc}; machines are reached from {', '.join(network.allowed_networks(ctx.target))}"
    )


def _source_ami(ctx: Context) -> Finding:
    return Finding("source AMI", "ok", f"{environment.source_ami(ctx)} ({ctx.recipe.image.family})")


def _permissions(ctx: Context) -> Finding:
    refused = dry_run.denied_actions(ctx.aws, environment.source_ami(ctx), ctx.recipe.instance_type(ctx.target))
    if refused:
        return Finding("permissions", "fail", f"refused: {', '.join(refused)}", "docs/aws.md lists the policy")
    return Finding("permissions", "ok", "may launch, image, tag and terminate (dry runs)")


def findings(found: list[Finding], *, as_json: bool) -> str:
    """What the doctor found."""
    if as_json:
        return json.dumps([asdict(finding) for finding in found], ensure_ascii=False)
    rows = [[f.result, f.name, f.detail + (f" -> {f.fix}" if f.fix else "")] for f in found]
    return table(["", "WHAT", "SEEN"], rows)
