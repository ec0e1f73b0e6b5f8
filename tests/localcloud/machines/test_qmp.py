"""The two sockets that we speak to, slirp4netns's and QEMU's, and the control groups' texts, with the other end faked."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localcloud.machines import cgroups
from localcloud.machines.container import slirp
from localcloud.machines.errors import MachineError
from localcloud.machines.qemu import qmp


@contextmanager
def serving(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A UNIX socket that answers each connection; its path may be longer than a socket's may be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")
        server.listen()
        os.close(folder)

        def loop() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    answer(client)

        threading.Thread(target=loop, daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def far(tmp_path: Path) -> Path:
    return tmp_path / ("a long folder name, " * 8) / "i-1"


class Slirp:
    """slirp4netns 1.2's API: list answers bare, the others in an envelope."""

    def __init__(self, taken: set[int]) -> None:
        self.open: dict[int, dict[str, Any]] = {}
        self.taken = taken

    def __call__(self, client: socket.socket) -> None:
        request = json.loads(b"".join(iter(lambda: client.recv(4096), b"")))
        arguments = request.get("arguments", {})
        reply: dict[str, Any]
        match request["execute"]:
            case "list_hostfwd":
                reply = {"entries": [{"id": number, **entry} for number, entry in self.open.items()]}
            case "add_hostfwd" if arguments["host_port"] in self.taken:
                reply = {"error": {"desc": "bad request: add_hostfwd: slirp_add_hostfwd failed"}}
            case "add_hostfwd":
                number = max(self.open, default=0) + 1
                self.open[number] = arguments
                reply = {"return": {"id": number}}
            case _:
                del self.open[arguments["id"]]
                reply = {"return": {}}
        client.sendall(json.dumps(reply).encode())

    def ports(self) -> set[int]:
        return {entry["host_port"] for entry in self.open.values()}


def test_exactly_the_wanted_ports_are_forwarded(far: Path) -> None:
    network = Slirp(taken=set())
    with serving(far / "slirp.sock", network):
        for expected in ({22}, {22, 80, 8080}, {443, 8080}, set()):
            slirp.forward_ports(far / "slirp.sock", "127.1.2.3", frozenset(expected))
            assert network.ports() == expected


def test_a_port_that_is_taken_is_named(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with (
        serving(far / "slirp.sock", Slirp(taken={80})),
        pytest.raises(MachineError, match=r"cannot open port 80 of 127.1.2.3: another program listens on it"),
    ):
        slirp.forward_ports(far / "slirp.sock", "127.1.2.3", frozenset({80}))


def test_root_leads_a_taken_port_around_it(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nft").write_text(f"#!/bin/sh\ncat >'{tmp_path}/rules'\n")
    (tools / "nft").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    network = Slirp(taken={22})
    with serving(far / "slirp.sock", network):
        slirp.forward_ports(far / "slirp.sock", "127.1.2.3", frozenset({22, 8080}))
        (via,) = network.ports() - {8080}
        assert f"ip daddr 127.1.2.3 tcp dport 22 dnat to 127.1.2.3:{via}\n" in (tmp_path / "rules").read_text()
        slirp.forward_ports(far / "slirp.sock", "127.1.2.3", frozenset({8080}))
        assert "dnat" not in (tmp_path / "rules").read_text()
        assert network.ports() == {8080}


def test_no_network_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot reach the machine's network"):
        slirp.forward_ports(tmp_path / "slirp.sock", "127.1.2.3", frozenset({80}))


def qemu(*replies: dict[str, Any]) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        with client.makefile("rwb") as stream:
            stream.write(b'{"QMP": {"version": {}, "capabilities": []}}\n')
            stream.flush()
            stream.readline()
            stream.write(b'{"return": {}}\n')
            stream.flush()
            stream.readline()
            for reply in replies:
                stream.write(json.dumps(reply).encode() + b"\n")

    return answer


def test_events_between_a_command_and_its_answer_are_passed_over(far: Path) -> None:
    with serving(far / "qmp.sock", qemu({"event": "STOP"}, {"return": "text\r\n"})):
        assert qmp.run_monitor_command(far / "qmp.sock", "info usernet") == "text"


def test_what_qemu_refuses_is_said(far: Path) -> None:
    with (
        serving(far / "qmp.sock", qemu({"error": {"desc": "no such thing"}})),
        pytest.raises(MachineError, match=r"QEMU refused stop: no such thing"),
    ):
        qmp.execute(far / "qmp.sock", "stop")


def test_a_qemu_that_went_away_is_an_error(far: Path) -> None:
    with serving(far / "qmp.sock", qemu()), pytest.raises(MachineError, match=r"cannot reach the virtual machine"):
        qmp.execute(far / "qmp.sock", "stop", timeout=2)
    with pytest.raises(MachineError, match=r"cannot reach the virtual machine"):
        qmp.execute(far / "none.sock", "stop", timeout=0.05)


def test_control_groups_of_every_kind_are_found() -> None:
    hybrid = (
        "24 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "25 24 0:23 / /sys/fs/cgroup/unified rw shared:1 - cgroup2 cgroup2 rw\n"
        "26 24 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
        "27 24 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    )
    result = dict(cgroups.parse_hierarchies(hybrid))
    assert result[Path("/sys/fs/cgroup/unified")] == {"unified"}
    assert {"cpu", "cpuacct"} <= result[Path("/sys/fs/cgroup/cpu,cpuacct")]
    assert "name=systemd" in result[Path("/sys/fs/cgroup/systemd")]
    unified = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    assert cgroups.parse_hierarchies(unified) == [(Path("/sys/fs/cgroup"), frozenset({"unified"}))]


def test_machines_of_two_clouds_with_one_id_have_different_groups() -> None:
    assert cgroups.group_name(Path("/a/machines/i-1")) != cgroups.group_name(Path("/b/machines/i-1"))
