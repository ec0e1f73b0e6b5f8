"""The commands of the two drivers: every value arrives as one word, whatever is in it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from localcloud.machines.container import driver
from localcloud.machines.container.driver import nspawn_argv
from localcloud.machines.errors import MachineError
from localcloud.machines.interface import MachineSpec
from localcloud.machines.qemu import kernel
from localcloud.machines.qemu.driver import qemu_argv

SPEC = MachineSpec(
    instance_id="i-0123456789abcdef0",
    disk=Path("/state/volumes/vol-1.raw"),
    address="127.1.2.3",
    folder=Path("/state/machines/i-0123456789abcdef0"),
    hostname="ip-10-0-0-7.ap-northeast-2.compute.internal",
    vcpus=2,
    memory_mib=1024,
    environment={"AWS_ENDPOINT_URL": "http://169.254.169.250"},
    ports=frozenset({22, 8080}),
)
KERNEL = kernel.Kernel("6.1", Path("/x/vmlinuz"), Path("/x/initrd.img"))
names = st.from_regex(r"[A-Z][A-Z_]{0,10}", fullmatch=True)
printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(st.dictionaries(names, printable, max_size=5))
def test_a_container_gets_its_environment_as_words_of_its_init(environment: dict[str, str]) -> None:
    argv = nspawn_argv(replace(SPEC, environment=environment))
    words = argv[argv.index("--") + 1 :]
    assert words == [f"systemd.setenv={name}={environment[name]}" for name in sorted(environment)]


def test_a_container_neither_registers_nor_changes_its_disk() -> None:
    argv = nspawn_argv(SPEC)
    assert {"--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off", "--link-journal=no"} <= set(argv)
    assert "--hostname=ip-10-0-0-7" in argv


@given(st.dictionaries(names, printable.filter(lambda text: '"' not in text), max_size=5))
def test_a_kernel_reads_the_environment_back(environment: dict[str, str]) -> None:
    line = kernel.command_line(replace(SPEC, environment=environment).init_arguments, "ttyS0", "127.5.6.0/24")
    reader = shlex.shlex(line, posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.commenters, reader.quotes, reader.escape = True, "", '"', ""
    words = [word for word in reader if word.startswith("systemd.setenv=")]
    assert words == [f"systemd.setenv={name}={environment[name]}" for name in sorted(environment)]


@pytest.mark.parametrize("value", ['say "hi"', "two\nlines"])
def test_what_a_kernel_cannot_read_is_refused(value: str) -> None:
    with pytest.raises(MachineError, match="are not supported"):
        kernel.command_line([f"systemd.setenv=X={value}"], "ttyS0", "127.5.6.0/24")


def test_a_virtual_machine_has_the_services_at_their_real_addresses() -> None:
    argv = qemu_argv(SPEC, KERNEL, "tcg,thread=multi")
    network = argv[argv.index("-netdev") + 1]
    assert "guestfwd=tcp:169.254.169.254:80-cmd:" in network
    assert "UNIX-CONNECT:imds.sock" in network
    assert "guestfwd=tcp:169.254.169.250:80-cmd:" in network
    assert "UNIX-CONNECT:api.sock" in network
    assert "hostfwd" not in network
    assert argv[argv.index("-cpu") + 1] == "max"


def test_a_virtual_machine_shows_itself_as_ec2() -> None:
    argv = qemu_argv(SPEC, KERNEL, "kvm")
    identity = argv[argv.index("-smbios") + 1]
    assert "manufacturer=Amazon EC2" in identity
    assert "uuid=ec2" in identity
    assert argv[argv.index("-cpu") + 1] == "host"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=20))
def test_a_path_with_commas_stays_one_option(name: str) -> None:
    disk = Path("/state") / f"v{name}"
    argv = qemu_argv(replace(SPEC, disk=disk), KERNEL, "kvm")
    drive = argv[argv.index("-drive") + 1]
    assert drive.replace(",,", "\0").split(",")[0].replace("\0", ",") == f"file={disk}"


def test_the_newest_complete_kernel_is_booted() -> None:
    names = [
        *(f"vmlinuz-6.1.0-{number}-cloud-amd64" for number in (9, 10, 56, 57)),
        *(f"initrd.img-6.1.0-{number}-cloud-amd64" for number in (9, 10, 56)),
        "config-6.1.0-57-cloud-amd64",
    ]
    assert kernel.newest_version(names) == "6.1.0-56-cloud-amd64"
    assert kernel.newest_version(["vmlinuz-1", "initrd.img-2", "vmlinuz.old"]) is None


@given(st.lists(st.from_regex(r"[0-9a-z.+~-]{1,12}", fullmatch=True)))
def test_any_version_can_be_compared(versions: list[str]) -> None:
    names = [f"{kind}-{version}" for version in versions for kind in ("vmlinuz", "initrd.img")]
    assert (kernel.newest_version(names) is None) == (not versions)


def test_a_state_folder_whose_sockets_would_have_too_long_paths_is_refused() -> None:
    driver.check_socket_paths(Path("/" + 66 * "s") / "machines")
    with pytest.raises(MachineError, match="1 bytes too long for the sockets in it"):
        driver.check_socket_paths(Path("/" + 67 * "s") / "machines")
