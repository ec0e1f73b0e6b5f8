"""Trial of KVM: on nested hosts `/dev/kvm` may exist although a kernel hangs under it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from localcloud.machines.errors import MachineError, find_tool
from localcloud.machines.qemu import kernel

DEVICE = Path("/dev/kvm")
TRIAL_SECONDS = 15.0
"""Time limit for a kernel without a root file system to panic; with a working KVM that takes about a second."""

BOOT_SECTOR = bytes((0xB0, 0x31, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD)).ljust(510, b"\0") + b"\x55\xaa"
"""`mov al,0x31; out 0xf4,al`: exits QEMU through its debug-exit device with status 0x31 * 2 + 1."""


@dataclass(frozen=True)
class Probe:
    """Result of the trial: whether KVM boots, and the reason why it is or is not used."""

    works: bool
    reason: str


def host_architecture() -> str:
    """Return QEMU's name of this host's architecture."""
    return {"arm64": "aarch64"}.get(platform.machine(), platform.machine())


def probe_kvm(cache: Path) -> Probe:
    """Return the result of the trial, cached until this host or its QEMU changes."""
    qemu = find_tool(f"qemu-system-{host_architecture()}")
    if qemu is None:
        return Probe(False, f"qemu-system-{host_architecture()} is not installed")
    if not DEVICE.exists():
        return Probe(False, f"{DEVICE} does not exist: this host has no hardware virtualisation")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Probe(False, f"this user cannot open {DEVICE}; run: sudo usermod --append --groups kvm $USER")
    image = _kernel_image(cache)
    status = Path(qemu).stat()
    key = f"{platform.release()} {_boot_id()} {qemu} {status.st_mtime_ns} {status.st_size} {image is not None}"
    cached = cache / "kvm-probe.json"
    try:
        data = json.loads(cached.read_text())
        if data.pop("key") == key:
            return Probe(**data)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    result = run_trial(qemu, image, TRIAL_SECONDS)
    cache.mkdir(parents=True, exist_ok=True)
    cached.write_text(json.dumps({"key": key, **asdict(result)}))
    return result


def run_trial(qemu: str, image: Path | None, limit: float) -> Probe:
    """Run a boot sector (x86 only), then a kernel if one is available, under KVM, each with a time limit in seconds."""
    base = [qemu, "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none"]
    if host_architecture() == "x86_64":
        with tempfile.NamedTemporaryFile(suffix=".boot") as sector:
            sector.write(BOOT_SECTOR)
            sector.flush()
            ended = _run([
                *base, "-drive", f"file={sector.name},format=raw,if=ide,readonly=off,snapshot=on",
                "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            ], limit)  # fmt: skip
            if ended != 0x31 * 2 + 1:
                return Probe(False, f"KVM did not run a boot sector ({_describe_exit(ended, limit)})")
    if image is not None:
        machine = [] if host_architecture() == "x86_64" else ["-machine", "virt"]
        ended = _run([*base, *machine, "-no-reboot", "-kernel", str(image), "-append", "panic=-1 quiet"], limit)
        if ended != 0:
            return Probe(False, f"KVM did not boot a kernel ({_describe_exit(ended, limit)})")
    return Probe(True, "KVM boots here")


def _run(argv: list[str], limit: float) -> int | None:
    """Return the exit status, or None after `limit` seconds. Kills QEMU: a hung virtual CPU ignores SIGTERM."""
    started = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(limit - (time.monotonic() - started))
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


def _describe_exit(ended: int | None, limit: float) -> str:
    return f"still busy after {limit:.0f} s" if ended is None else f"QEMU ended with {ended}"


def _kernel_image(cache: Path) -> Path | None:
    """Return the base image's kernel, which machines will boot, else the host's, else None."""
    folder = cache / "kvm-probe"
    if (folder / "vmlinuz").is_file():
        return folder / "vmlinuz"
    for disk in sorted(cache.glob("base-*/root.raw")):
        try:
            folder.mkdir(exist_ok=True)
            return kernel.extract_kernel(disk, folder).image
        except (MachineError, OSError):
            continue
    images = [path for path in sorted(Path("/boot").glob("vmlinuz-*")) if os.access(path, os.R_OK)]
    return images[-1] if images else None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
