"""The local base image: Debian 12 on a raw ext4 disk, built with mmdebstrap and cached by the digest of its inputs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcloud.machines.errors import MachineError, require_tools, tool_path
from localcloud.storage import disks

SIZE = 2 * 1024**3
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = tuple(
    f"deb [signed-by={KEYRING}] http://deb.debian.org/{archive} main"
    for archive in ("debian bookworm", "debian bookworm-updates", "debian-security bookworm-security")
)
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "openssh-server", "sudo",
    "ca-certificates", "curl", "e2fsprogs", "iproute2", "libnss-myhostname", "netbase", "procps", "zstd",
    "qemu-guest-agent",  # runs commands in virtual machines; does not start in containers, which lack its port
)  # fmt: skip
BASE = Path(__file__).parent / "base"
TOOLS = ("mmdebstrap", "mkfs.ext4", "tar")


@dataclass(frozen=True)
class BaseImage:
    """A built base image. `path` is a read-only file. `created` is in UTC, RFC 3339."""

    path: Path
    name: str
    digest: str
    created: str
    packages: tuple[tuple[str, str], ...]


def host_architecture() -> str:
    """Return Debian's name of this host's architecture. Raises MachineError if it is not supported."""
    names, machine = {"x86_64": "amd64", "aarch64": "arm64"}, platform.machine()
    if machine not in names:
        raise MachineError(f"cannot run local machines on {machine}: only x86_64 and aarch64 hosts are supported")
    return names[machine]


def input_digest() -> str:
    """Return the SHA-256 of all inputs of the image except the current state of the archive."""
    hashed = hashlib.sha256(json.dumps([host_architecture(), SIZE, SOURCES, PACKAGES]).encode())
    for path in sorted(path for path in BASE.rglob("*") if path.is_file()):
        content = path.read_bytes()
        mode = "x" if os.access(path, os.X_OK) else "-"
        hashed.update(f"{path.relative_to(BASE)} {mode} {len(content)}\n".encode() + content)
    return hashed.hexdigest()


def ensure_base_image(cache: Path, log: Callable[[str], None]) -> BaseImage:
    """Return the base image from the cache; build it there first if it is missing (about a minute). Concurrent calls build it
    once. Raises MachineError if a tool is missing or the archive is not reachable."""
    digest = input_digest()
    folder = cache / f"base-{digest[:16]}"
    if (folder / "image.json").is_file():
        return _read(folder)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "base.lock", log):
        if not (folder / "image.json").is_file():
            for interrupted in cache.glob("base-*.building"):
                _remove(interrupted)
            _build(folder, digest, log)
    return _read(folder)


def _build(folder: Path, digest: str, log: Callable[[str], None]) -> None:
    require_tools(TOOLS if os.geteuid() == 0 else (*TOOLS, "newuidmap"), "build the local base image")
    if not KEYRING.is_file():
        raise MachineError(
            "cannot build the local base image: Debian's archive keys are not installed; "
            "run: sudo apt-get install --yes debian-archive-keyring"
        )
    started = time.monotonic()
    log("building the local base image: Debian 12, once, about a minute")
    work = folder.with_name(folder.name + ".building")
    work.mkdir()
    try:
        overlay, tarball, root = work / "overlay.tar", work / "root.tar", work / "root"
        status, image = work / "status", work / "root.raw"
        _pack(BASE / "root", overlay)
        _stream(bootstrap_argv(tarball, overlay, status), "mmdebstrap", log)
        root.mkdir()
        inside = _as_root()
        _stream([*inside, "tar", "--directory", str(root), "--extract", "--file", str(tarball),
                 "--numeric-owner", "--exclude=./dev/*"], "tar", log)  # fmt: skip
        with image.open("wb") as file:
            file.truncate(SIZE)
        log("creating its ext4 file system")
        _stream([*inside, tool_path("mkfs.ext4"), "-q", "-F", "-L", "root", "-m", "1", "-J", "size=32",
                 "-E", "root_owner=0:0", "-d", str(root), str(image)], "mkfs.ext4", log)  # fmt: skip
        _stream([*inside, "rm", "--recursive", "--force", str(root)], "rm", log)
        image.chmod(0o444)
        tarball.unlink()
        overlay.unlink()
        now = time.gmtime()
        (work / "image.json").write_text(json.dumps({
            "name": f"debian-12-{host_architecture()}-{time.strftime('%Y%m%d', now)}-local",
            "digest": digest,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
            "packages": parse_dpkg_status(status.read_text()),
        }))  # fmt: skip
        if folder.exists():  # without image.json: from an older format
            _remove(folder)
        work.rename(folder)
    except BaseException:
        _remove(work)
        raise
    allocated = disks.measure(folder / "root.raw").allocated
    log(f"built the local base image in {time.monotonic() - started:.0f} s, {allocated / 1e6:.0f} MB")


def bootstrap_argv(tarball: Path, overlay: Path, status: Path) -> list[str]:
    """Return mmdebstrap's command. The overlay is unpacked before packages are configured, as they read its files."""
    arch = host_architecture()
    quote = shlex.quote  # mmdebstrap splits the arguments of its special hooks like a shell
    return [
        tool_path("mmdebstrap"),
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        "--variant=minbase",
        f"--architectures={arch}",
        f"--include={','.join((*PACKAGES, f'linux-image-cloud-{arch}'))}",
        f"--essential-hook=tar-in {quote(str(overlay))} /",
        # As text: in a user namespace, the file may be in a home folder that is not readable.
        f"--customize-hook={(BASE / 'customize.sh').read_text()}",
        f"--customize-hook=download /var/lib/dpkg/status {quote(str(status))}",
        "--format=tar",
        "bookworm",
        str(tarball),
        *SOURCES,
    ]


def parse_dpkg_status(text: str) -> list[tuple[str, str]]:
    """Return (package, version) of all installed packages in dpkg's status file, sorted by name."""
    packages = []
    for paragraph in re.split(r"\n{2,}", text):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            packages.append((fields["Package"], fields["Version"]))
    return sorted(packages)


def _read(folder: Path) -> BaseImage:
    data = json.loads((folder / "image.json").read_text())
    packages = tuple((name, version) for name, version in data["packages"])
    return BaseImage(folder / "root.raw", data["name"], data["digest"], data["created"], packages)


def _pack(source: Path, target: Path) -> None:
    """Write a tar of the files only (folders keep the image's own modes), all owned by root."""
    with tarfile.open(target, "w") as tar:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            entry = tar.gettarinfo(path, str(path.relative_to(source)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)


def _as_root() -> list[str]:
    """Return the prefix of commands that must see the image's owners: a user namespace, if not root."""
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto", "--"]


def _remove(folder: Path) -> None:
    if os.geteuid() != 0 and (folder / "root").exists():
        subprocess.run([*_as_root(), "rm", "--recursive", "--force", str(folder / "root")], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _stream(argv: Sequence[str], name: str, log: Callable[[str], None]) -> None:
    """Run a command and log its progress. Raises MachineError with its last lines if it fails."""
    lines: list[str] = []
    # mmdebstrap looks for its tools in the sbin folders, which a user's PATH may lack.
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"}
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", env=environment, cwd="/",
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            if line := line.strip():
                lines = [*lines[-7:], line]
                if line.startswith("I: "):
                    log(f"{name}: {line.removeprefix('I: ')}")
    if process.returncode != 0:
        detail = next((line for line in lines if line.startswith("E: ")), " / ".join(lines[-3:]))
        raise MachineError(f"cannot build the local base image: {name} ended with {process.returncode}: {detail}")


@contextmanager
def _locked(path: Path, log: Callable[[str], None]) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("waiting for another process that builds the local base image")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
