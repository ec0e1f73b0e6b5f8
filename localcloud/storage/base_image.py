"""The local base image: Debian 12 as a raw ext4 disk, built once with mmdebstrap and kept by its inputs' digest."""

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

from localcloud.machines.errors import MachineError, find_tool, require_tools
from localcloud.storage import disks

SIZE = 2 * 1024**3
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = tuple(
    f"deb [signed-by={KEYRING}] http://deb.debian.org/{archive} {suite} main"
    for archive, suite in (
        ("debian", "bookworm"),
        ("debian", "bookworm-updates"),
        ("debian-security", "bookworm-security"),
    )
)
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "openssh-server", "sudo",
    "ca-certificates", "curl", "e2fsprogs", "iproute2", "libnss-myhostname", "netbase", "procps", "zstd",
    "qemu-guest-agent",  # how commands reach a virtual machine; elsewhere it finds no port, and does not start
)  # fmt: skip
BASE = Path(__file__).parent / "base"
TOOLS = ("mmdebstrap", "mkfs.ext4", "tar")


@dataclass(frozen=True)
class BaseImage:
    """A built base image. `path` is read-only to everybody: copy it. `created` is in UTC, RFC 3339."""

    path: Path
    name: str
    digest: str
    created: str
    packages: tuple[tuple[str, str], ...]


def host_architecture() -> str:
    """Debian's name of this machine's architecture: the only one that both drivers run at a bearable speed."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise MachineError(f"cannot run local machines on {machine}: only x86_64 and aarch64 hosts are supported")
    return names[machine]


def input_digest() -> str:
    """SHA-256 over everything that goes into the image except the archive's state of the day."""
    hashed = hashlib.sha256(json.dumps([host_architecture(), SIZE, SOURCES, PACKAGES]).encode())
    for path in sorted(path for path in BASE.rglob("*") if path.is_file()):
        content = path.read_bytes()
        mode = "x" if os.access(path, os.X_OK) else "-"
        hashed.update(f"{path.relative_to(BASE)} {mode} {len(content)}\n".encode() + content)
    return hashed.hexdigest()


def ensure_base_image(cache: Path, log: Callable[[str], None]) -> BaseImage:
    """The base image from the cache, built there first if need be (a minute, once). Safe when many ask at once.

    Raises MachineError when a tool is missing or the archive cannot be read.
    """
    wanted = input_digest()
    folder = cache / f"base-{wanted[:16]}"
    if (folder / "image.json").is_file():
        return _read(folder)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "base.lock", log):
        if not (folder / "image.json").is_file():
            for dead in cache.glob("base-*.building"):
                _remove(dead)
            _build(folder, wanted, log)
    return _read(folder)


def _build(folder: Path, wanted: str, log: Callable[[str], None]) -> None:
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
        log("making its ext4 file system")
        _stream([*inside, find_tool("mkfs.ext4") or "mkfs.ext4", "-q", "-F", "-L", "root", "-m", "1", "-J", "size=32",
                 "-E", "root_owner=0:0", "-d", str(root), str(image)], "mkfs.ext4", log)  # fmt: skip
        _stream([*inside, "rm", "--recursive", "--force", str(root)], "rm", log)
        image.chmod(0o444)
        tarball.unlink()
        overlay.unlink()
        now = time.gmtime()
        (work / "image.json").write_text(json.dumps({
            "name": f"debian-12-{host_architecture()}-{time.strftime('%Y%m%d', now)}-local",
            "digest": wanted,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
            "packages": parse_dpkg_status(status.read_text()),
        }))  # fmt: skip
        if folder.exists():  # without image.json: left by a build of an older form
            _remove(folder)
        work.rename(folder)
    except BaseException:
        _remove(work)
        raise
    allocated = disks.measure(folder / "root.raw").allocated
    log(f"built the local base image in {time.monotonic() - started:.0f} s, {allocated / 1e6:.0f} MB")


def bootstrap_argv(tarball: Path, overlay: Path, status: Path) -> list[str]:
    """mmdebstrap's command. The overlay is there before packages are configured: dpkg, initramfs and apt read it."""
    arch = host_architecture()
    quote = shlex.quote  # mmdebstrap splits the arguments of its special hooks as a shell would
    return [
        find_tool("mmdebstrap") or "mmdebstrap",
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        "--variant=minbase",
        f"--architectures={arch}",
        f"--include={','.join((*PACKAGES, f'linux-image-cloud-{arch}'))}",
        f"--essential-hook=tar-in {quote(str(overlay))} /",
        # As text: in a user namespace the file itself may lie in a home folder that nobody else can enter.
        f"--customize-hook={(BASE / 'customize.sh').read_text()}",
        f"--customize-hook=download /var/lib/dpkg/status {quote(str(status))}",
        "--format=tar",
        "bookworm",
        str(tarball),
        *SOURCES,
    ]


def parse_dpkg_status(text: str) -> list[tuple[str, str]]:
    """(package, version) of what is installed, from dpkg's status file, in the order of names."""
    found = []
    for paragraph in re.split(r"\n{2,}", text):
        fields = dict(re.findall(r"^(Package|Status|Version): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            found.append((fields["Package"], fields["Version"]))
    return sorted(found)


def _read(folder: Path) -> BaseImage:
    data = json.loads((folder / "image.json").read_text())
    packages = tuple((name, version) for name, version in data["packages"])
    return BaseImage(folder / "root.raw", data["name"], data["digest"], data["created"], packages)


def _pack(source: Path, target: Path) -> None:
    """A tar of files only (folders keep the image's own modes), owned by root whoever checked them out."""
    with tarfile.open(target, "w") as tar:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            entry = tar.gettarinfo(path, str(path.relative_to(source)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)


def _as_root() -> list[str]:
    """Prefix of commands that must see the image's owners: a user namespace unless we are root."""
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto", "--"]


def _remove(folder: Path) -> None:
    if os.geteuid() != 0 and (folder / "root").exists():
        subprocess.run([*_as_root(), "rm", "--recursive", "--force", str(folder / "root")], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _stream(argv: Sequence[str], name: str, log: Callable[[str], None]) -> None:
    """Run a command, hand its lines on as progress; its last lines become the error."""
    lines: list[str] = []
    # The administrator's folders must be on PATH: mmdebstrap looks for its own tools there.
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
