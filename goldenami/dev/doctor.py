"""`./invoke doctor`: check tools, credentials, permissions, disk and ports."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from goldenami.aws import dry_run, session, vpc as aws_vpc
from goldenami.aws.errors import explain
from goldenami.bake import environment
from goldenami.context import Context
from goldenami.errors import GoldenError
from goldenami.infra import network
from goldenami.text import Report, table
from goldenami.tools import packer, process

_DISK_GIB = 10.0
_TOOLS = {
    "git": "apt-get install git",
    "shellcheck": "apt-get install shellcheck",
    "setpriv": "apt-get install util-linux",
}


@dataclass(frozen=True)
class Finding:
    """Result of a check, and how to fix the problem."""

    name: str
    result: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


def run_checks(ctx: Context) -> list[Finding]:
    """Check this machine and the AWS account, without changing or launching anything."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("packer", _packer),
        *((tool, partial(_tool, tool, fix)) for tool, fix in _TOOLS.items()),
        ("disk", lambda: _disk(ctx.root)),
        ("kvm", _kvm),
        ("ssh port", _port),
        ("credentials", lambda: _credentials(ctx)),
        ("network", lambda: _network(ctx)),
        ("source AMI", lambda: _source_ami(ctx)),
        ("permissions", lambda: _permissions(ctx)),
    ]
    return [_run_check(name, check) for name, check in checks]


def _run_check(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        known = error if isinstance(error, GoldenError) else explain(error)
        if known is None:
            raise
        return Finding(name, "fail", known.message, known.next or "")


def _packer() -> Finding:
    version = packer.version()
    text = ".".join(map(str, version))
    if version < (1, 6, 6):
        return Finding("packer", "fail", f"{text} is too old", "install Packer 1.6.6 or newer")
    if version < (1, 7, 0):
        detail = f"{text}: cannot set IMDSv2; goldenami sets it on the finished AMI"
        return Finding("packer", "ok", detail)
    return Finding("packer", "ok", text)


def _tool(tool: str, fix: str) -> Finding:
    path = process.which(tool)
    return Finding(tool, "ok", str(path)) if path else Finding(tool, "warn", "not installed", fix)


def _disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 2**30
    if free < _DISK_GIB:
        return Finding("disk", "fail", f"{free:.1f} GiB free", f"free {_DISK_GIB:.0f} GiB, or set GOLDENAMI_STATE")
    return Finding("disk", "ok", f"{free:.0f} GiB free")


def _kvm() -> Finding:
    device = Path("/dev/kvm")
    if device.exists() and os.access(device, os.R_OK | os.W_OK):
        return Finding("kvm", "ok", "/dev/kvm exists; it is tested when a machine starts")
    return Finding("kvm", "warn", "not available: machines are containers (as root) or slow virtual machines")


def _port() -> Finding:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.91.91.91", 22))
        except PermissionError:
            fix = "sudo sysctl net.ipv4.ip_unprivileged_port_start=22, or run as root"
            return Finding("ssh port", "warn", "local machines cannot listen on port 22", fix)
        except OSError as error:
            fix = "limit sshd to this machine's own addresses (ListenAddress)"
            return Finding("ssh port", "fail", f"port 22 is in use on every loopback address ({error.strerror})", fix)
    return Finding("ssh port", "ok", "local machines can listen on port 22")


def _credentials(ctx: Context) -> Finding:
    account, arn = session.caller_identity(ctx.aws)
    return Finding("credentials", "ok", f"{arn} in account {account}, {ctx.aws.region}")


def _network(ctx: Context) -> Finding:
    vpc = aws_vpc.subnet_vpc(ctx.aws, ctx.target.subnet_id or None)
    return Finding("network", "ok", f"{vpc}; reachable from {', '.join(network.allowed_networks(ctx.target))}")


def _source_ami(ctx: Context) -> Finding:
    return Finding("source AMI", "ok", f"{environment.source_ami(ctx)} ({ctx.recipe.image.family})")


def _permissions(ctx: Context) -> Finding:
    denied = dry_run.denied_actions(ctx.aws, environment.source_ami(ctx), ctx.recipe.instance_type(ctx.target))
    if denied:
        return Finding("permissions", "fail", f"denied: {', '.join(denied)}", "attach the policy in docs/aws.md")
    return Finding("permissions", "ok", "may launch, image, tag and terminate (dry runs)")


def report(findings: list[Finding]) -> Report:
    """Return the findings as a table."""
    rows = [[f.result, f.name, f.detail + (f" -> {f.fix}" if f.fix else "")] for f in findings]
    return Report([asdict(finding) for finding in findings], table(["RESULT", "CHECK", "DETAIL"], rows))
