"""For every test: no network beyond loopback, no credentials but made-up ones, and repeatable property tests in CI."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("desk", deadline=None, max_examples=50)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What renews whole fleets of machines, or stands in tests/e2e, boots machines."""
    for item in items:
        if item.get_closest_marker("fleet") is not None or item.path.is_relative_to(Path(__file__).parent / "e2e"):
            item.add_marker("e2e")
    # The local cloud overrides parts of moto for the whole process, so the tests that stub AWS with plain moto come first.
    items.sort(key=lambda item: item.path.is_relative_to(CLOUD[0]) or item.path.is_relative_to(CLOUD[1]))


CLOUD = (Path(__file__).parent / "localcloud", Path(__file__).parent / "integration")


class BeyondLoopbackError(RuntimeError):
    """A test reached for the network. No OSError, so that nothing takes it for a server that does not answer."""


def _check(host: Any) -> None:
    if host in (None, "", b"", "localhost"):
        return
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        outside = not ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        outside = True
    if outside and name not in ("0.0.0.0", "::"):
        raise BeyondLoopbackError(
            f"this test reaches for {name}; tests talk to loopback addresses only (stub the wire, or serve on 127.0.0.1)"
        )


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    look_up = socket.getaddrinfo

    def guard(name: str) -> Any:
        def call(self: socket.socket, *given: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                _check(given[-1][0])  # the address comes last in all three calls
            return real[name](self, *given)

        return call

    def guarded_look_up(host: Any, *given: Any, **named: Any) -> Any:
        _check(host)
        return look_up(host, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(socket.socket, name, guard(name))
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nobody_s_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of its own and none of the caller's AWS settings, here and in every program that a test starts."""
    home, real_home = tmp_path_factory.mktemp("home"), Path.home()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or real_home / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        # Base images and compiled Go packages are kept by content; making them anew for each session takes minutes.
        kept = {"GOLDENAMI_CACHE": cache / "goldenami", "GOCACHE": cache / "go-build", "GOPATH": real_home / "go"}
        for name, path in kept.items():
            if name not in os.environ:
                patch.setenv(name, str(path))
        for name in [*os.environ]:
            if name.startswith("AWS_") or name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("AWS_CONFIG_FILE", str(home / "no-aws-config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "no-aws-credentials"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / "no-git-config"))
        yield
