"""Shared parts of the tests of machines: a metadata service, an SSH client, and a check for orphaned resources."""

from __future__ import annotations

import http.server
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from localcloud.machines import cgroups, loop_devices, supervised
from localcloud.machines.interface import DataVolume, MachineSpec

INSTANCE = "i-0123456789abcdef0"
HOST_NAME = "ip-10-0-0-7"


def responder(answers: dict[str, str]) -> type[http.server.BaseHTTPRequestHandler]:
    """Return a handler of requests below /latest/ that have the token."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def reply(self, code: int, text: str) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self) -> None:
            self.reply(200, "token")

        def do_GET(self) -> None:
            allowed = self.headers.get("X-aws-ec2-metadata-token") == "token"
            text = answers.get(self.path.removeprefix("/latest/")) if allowed else None
            self.reply(200 if text else 404 if allowed else 401, text or "")

    return Handler


class Metadata(socketserver.ThreadingUnixStreamServer):
    """The part of IMDSv2 that a first boot reads, on a UNIX socket."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path, answers: dict[str, str]) -> None:
        super().__init__(str(path), responder(answers))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self) -> tuple[Any, Any]:
        request, _ = super().get_request()
        return request, ("machine", 0)


class MachineLab:
    """The environment of one machine in the test's folder."""

    def __init__(self, root: Path, address: str) -> None:
        self.key = root / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.folder = root / "machines" / INSTANCE
        self.folder.mkdir(parents=True)
        self.disk = root / "vol-1.raw"
        self.spec = MachineSpec(
            instance_id=INSTANCE,
            disk=self.disk,
            address=address,
            folder=self.folder,
            hostname=f"{HOST_NAME}.ap-northeast-2.compute.internal",
            vcpus=2,
            memory_mib=1024,
            environment={"AWS_ENDPOINT_URL": "http://169.254.169.250"},
            ports=frozenset({22}),
        )
        answers = {
            "meta-data/instance-id": INSTANCE,
            "meta-data/local-hostname": self.spec.hostname,
            "meta-data/public-keys/0/openssh-key": self.key.with_suffix(".pub").read_text(),
            "user-data": "#!/bin/bash\nwhoami >> /root/ran\n",
        }
        self.services = [
            Metadata(self.spec.imds_socket, answers),
            Metadata(self.spec.api_socket, {"ping": "the AWS API"}),
        ]

    def ssh(self, command: str) -> str:
        done = subprocess.run(
            ["ssh", "-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5",
             f"admin@{self.spec.address}", command],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip() if done.returncode == 0 else f"status {done.returncode}: {done.stderr}"

    def await_ssh(self, seconds: float) -> float:
        """Wait for an SSH server, and return the seconds until it sent its banner."""
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            try:
                with socket.create_connection((self.spec.address, 22), timeout=5) as client:
                    client.settimeout(5)
                    if client.recv(4) == b"SSH-":
                        return time.monotonic() - started
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"no SSH within {seconds} s")

    @contextmanager
    def neighbour(self) -> Iterator[str]:
        """Yield the URL of another server in the cloud's range, which answers "pong" to /latest/ping."""
        host = self.spec.address.rpartition(".")[0] + ".200"
        with socketserver.ThreadingTCPServer((host, 0), responder({"ping": "pong"})) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://{host}:{server.server_address[1]}/latest/ping"
            server.shutdown()

    def volumes(self) -> list[Path]:
        return sorted(self.disk.parent.glob("vol-0*.raw"))

    def volume(self, number: int, size: int = 1 << 30) -> DataVolume:
        """Create an empty data volume."""
        volume_id = f"vol-0{number:016x}"
        disk = self.disk.with_name(f"{volume_id}.raw")
        with disk.open("wb") as file:
            file.truncate(size)
        return DataVolume(volume_id, disk)

    def leftovers(self) -> list[str]:
        """Return the machine's resources that remain on the host."""
        folder = self.folder.parent
        return [
            *(f"process {pid}" for pid in supervised.find_processes(folder)),
            *(
                f"loop device {device}"
                for disk in [self.disk, *self.volumes()]
                for device in loop_devices.find_devices(disk)
            ),
            *(f"group {path}" for path in cgroups.group_paths(self.folder) if path.exists()),
            *(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line),
        ]


def until(condition: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
