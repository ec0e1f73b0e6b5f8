"""The supervisor process of a machine: sets it up, waits for it, and kills it when the server dies. Uses the standard library
only. Run as `python -I supervisor.py container|plain` in the machine's folder, with the plan (JSON) as the first line of its
standard input. The pipe stays open as a control pipe: when it is closed, the server has ended and the machine is killed. A
later line `stop` requests a clean power-off. The supervisor prints `ready`, or `error <reason>`. With `container` it is the
first process of its own PID and mount namespaces. However it ends, the kernel kills every process of the machine, unmounts its
disk and frees the loop device."""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


class SetupError(Exception):
    """A step of the set-up failed; the message says which and why."""


@dataclass(frozen=True)
class SupervisedProcess:
    """How to boot the machine, what to do once it is off, and the exit code that requests a reboot."""

    boot: Callable[[], subprocess.Popen[bytes]]
    finish: Callable[[], None]
    reboot_exit_code: int | None = None


def run(*argv: str, text: str | None = None) -> None:
    """Run one set-up command. Raises SetupError if it fails."""
    done = subprocess.run(argv, check=False, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines()
        raise SetupError(f"{argv[0]}: {lines[-1] if lines else f'ended with {done.returncode}'}")


def join_cgroups(folders: list[str]) -> None:
    for folder in folders:
        Path(folder, "cgroup.procs").write_text("0")  # 0: the process that writes


def set_up_network(plan: dict[str, Any]) -> tuple[list[subprocess.Popen[bytes]], int]:
    """Create the machine's network, which outlives its reboots. The metadata service and the AWS API have a network namespace of
    their own, connected by a veth pair, so that all ports of the machine's own addresses stay free. Returns the helper
    processes and the descriptor that slirp4netns writes to when it is ready."""
    for name in ("netns", "netns-services"):
        Path(name).touch()
        run("unshare", f"--net={name}", "true")
    services = [plan["metadata_address"], plan["api_address"]]
    run("nsenter", "--net=netns", "ip", "-batch", "-", text="\n".join([
        "link set lo up",
        f"link add services type veth peer name services netns {Path('netns-services').absolute()}",
        "address add 169.254.169.1/32 dev services",
        "link set services up",
        *(f"route add {address}/32 dev services" for address in services),
    ]))  # fmt: skip
    run("nsenter", "--net=netns-services", "ip", "-batch", "-", text="\n".join([
        "link set lo up",
        *(f"address add {address}/32 dev services" for address in services),
        "link set services up",
        "route add 169.254.169.1/32 dev services",
    ]))  # fmt: skip
    helpers = [
        subprocess.Popen([
            "nsenter", "--net=netns-services",
            "socat", f"TCP-LISTEN:80,bind={address},fork,reuseaddr,backlog=128", f"UNIX-CONNECT:{socket}",
        ])
        for address, socket in zip(services, ("imds.sock", "api.sock"), strict=True)
    ]  # fmt: skip
    Path("slirp.sock").unlink(missing_ok=True)
    ready, ready_writer = os.pipe()
    helpers.append(subprocess.Popen([
        "slirp4netns", "--configure", "--mtu=65520", f"--cidr={plan['network']}", "--disable-host-loopback",
        "--api-socket=slirp.sock", f"--ready-fd={ready_writer}", "--netns-type=path", "netns", "eth0",
    ], pass_fds=[ready_writer]))  # fmt: skip
    os.close(ready_writer)
    return helpers, ready


def route_cloud_range(plan: dict[str, Any]) -> None:
    """Route the cloud's loopback addresses out of the machine, whose kernel would deliver them locally."""
    run("nsenter", "--net=netns", "ip", "route", "add", plan["range"], "via", plan["gateway"], "dev", "eth0",
        "src", plan["address"], "table", "local")  # fmt: skip
    run("nsenter", "--net=netns", "tee", "/proc/sys/net/ipv4/conf/eth0/route_localnet", text="1")


def create_device_nodes(nodes: dict[str, int]) -> None:
    """Create the guest's /dev/disk with device nodes of its data volumes. The server adds and removes nodes later."""
    Path("devices").mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=0755,size=1m", "devices", "devices")
    Path("devices/by-id").mkdir()
    for name, number in nodes.items():
        os.mknod(f"devices/by-id/{name}", 0o660 | stat.S_IFBLK, number)


def prepare_container(plan: dict[str, Any]) -> SupervisedProcess:
    """Set up a container: control groups, volumes, network and root file system."""
    join_cgroups(plan["cgroups"])
    Path("root").mkdir(exist_ok=True)
    create_device_nodes(plan["volumes"])
    # nspawn keeps files there by machine name, which need not be unique on the host, and does not delete all of them.
    Path("/run/systemd/nspawn").mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=0700", "nspawn", "/run/systemd/nspawn")
    helpers, ready = set_up_network(plan)
    # No barriers: the disk has to survive this process, not a power loss of the host. No background zeroing of inode
    # tables: that would fill the sparse file.
    run("mount", "-o", "loop,noatime,nobarrier,noinit_itable", plan["disk"], "root")
    if not os.read(ready, 1):
        raise SetupError("slirp4netns: ended before its network was ready")
    os.close(ready)
    route_cloud_range(plan)
    Path("console.log").write_bytes(b"")

    def boot() -> subprocess.Popen[bytes]:
        with Path("console.log").open("ab") as console:
            return subprocess.Popen(
                plan["argv"], stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env={**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"},  # /tmp on the disk, as on EC2
            )  # fmt: skip

    def finish() -> None:
        for helper in helpers:
            helper.kill()
        # Deleted files become holes, so that an image of this disk copies only blocks in use.
        subprocess.run(["fstrim", "root"], check=False, capture_output=True)
        run("umount", "root")

    return SupervisedProcess(boot, finish, reboot_exit_code=133)  # nspawn's when its guest reboots


def prepare_process(plan: dict[str, Any]) -> SupervisedProcess:
    """Set up one process that must not outlive this one."""

    def boot() -> subprocess.Popen[bytes]:
        # preexec_fn is safe here: this process has one thread.
        return subprocess.Popen(plan["argv"], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)

    return SupervisedProcess(boot, lambda: None)


def die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def supervise(process: SupervisedProcess) -> None:
    """Run the machine until it or the server ends. As the first process of a namespace, reap orphans too."""
    wakeup_reader, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    signal.set_wakeup_fd(wakeup_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(wakeup_reader, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)
    machine = process.boot()
    report("ready")
    stopping = False
    while True:
        for pid, status in reap_children():
            if pid == machine.pid:
                if stopping or os.waitstatus_to_exitcode(status) != process.reboot_exit_code:
                    return
                machine = process.boot()
        for key, _ in selector.select():
            data = os.read(key.fd, 4096)
            if key.fd == 0 and not data:
                machine.kill()
                os._exit(1)
            if key.fd == 0 and b"stop" in data:
                stopping = True
                machine.send_signal(signal.SIGTERM)  # nspawn turns it into a clean power-off


def reap_children() -> Iterator[tuple[int, int]]:
    """Yield the children that have ended since the last call, with their wait statuses."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def read_line() -> str:
    """Read one line of standard input byte by byte, so that supervise() gets the rest."""
    line = b""
    while not line.endswith(b"\n"):
        if not (byte := os.read(0, 1)):
            os._exit(1)
        line += byte
    return line.decode()


def report(message: str) -> None:
    os.write(1, message.encode() + b"\n")


def main() -> None:
    plan = json.loads(read_line())
    try:
        process = (prepare_container if sys.argv[1] == "container" else prepare_process)(plan)
        supervise(process)
        process.finish()
    except (SetupError, OSError) as error:
        report(f"error {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
