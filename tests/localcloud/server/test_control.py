"""up, down, status, reset: real server processes, with machines in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from localcloud import control
from localcloud.errors import CloudError
from localcloud.state_dir import MARKER, StateDir
from tests.support import memory_machines
from tests.support.cloud_server import client, eventually

SERVE = (sys.executable, str(Path(memory_machines.__file__)))


def owner_client(info: control.CloudInfo, service: str) -> Any:
    return client(info.endpoint, service, keys=(info.access_key, info.secret_key))


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    monkeypatch.setenv("GOLDENAMI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(Path(control.__file__).parent.parent))
    folders = [tmp_path / "one", tmp_path / "two"]
    yield folders
    for folder in folders:
        control.down(folder, log=lambda _: None)


def test_up_is_idempotent_and_relays_progress_and_down_ends_it(states: list[Path]) -> None:
    lines: list[str] = []
    info = control.up(states[0], lines.append, SERVE)
    assert "created a base image" in lines
    assert (info.driver, info.region, info.account) == ("memory", "ap-northeast-2", "123456789012")
    assert control.up(states[0], lines.append, SERVE) == info
    assert control.down(states[0], lines.append)
    assert control.status(states[0]) is None
    assert not control.down(states[0], lines.append)


def test_two_ups_at_once_start_one_server(states: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        result = list(pool.map(lambda _: control.up(states[0], lambda _: None, SERVE), range(4)))
    assert len({info.pid for info in result}) == 1


def test_two_clouds_do_not_meet(states: list[Path]) -> None:
    first, second = (control.up(state, lambda _: None, SERVE) for state in states)
    assert first.range != second.range
    owner_client(first, "ssm").put_parameter(Name="/only/here", Value="1", Type="String")
    assert owner_client(second, "ssm").describe_parameters()["Parameters"] == []


def test_it_ends_with_the_process_that_it_was_to_end_with(states: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        monkeypatch.setenv("GOLDENAMI_UNTIL", str(other.pid))
        info = control.up(states[0], lambda _: None, SERVE)
        owner_client(info, "ssm").put_parameter(Name="/kept", Value="1", Type="String")
        other.kill()
        eventually(lambda: control.status(states[0]) is None)
    monkeypatch.delenv("GOLDENAMI_UNTIL")
    info = control.up(states[0], lambda _: None, SERVE)
    assert owner_client(info, "ssm").get_parameter(Name="/kept")["Parameter"]["Value"] == "1"


def test_kill_9_loses_nothing_that_was_answered(states: list[Path]) -> None:
    info = control.up(states[0], lambda _: None, SERVE)
    owner_client(info, "ssm").put_parameter(Name="/kept", Value="1", Type="String")
    os.kill(info.pid, signal.SIGKILL)
    eventually(lambda: control.status(states[0]) is None)
    again = control.up(states[0], lambda _: None, SERVE)
    assert again.endpoint == info.endpoint
    assert owner_client(again, "ssm").get_parameter(Name="/kept")["Parameter"]["Value"] == "1"


def test_a_server_that_does_not_start_is_one_sentence_with_the_log(
    states: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILURE", "1")
    with pytest.raises(CloudError, match=r"did not start: no machines today \(log: .*server.log\)"):
        control.up(states[0], lambda _: None, SERVE)


def test_reset_deletes_the_state_and_never_a_foreign_folder(states: list[Path], tmp_path: Path) -> None:
    control.up(states[0], lambda _: None, SERVE)
    control.reset(states[0], lambda _: None)
    assert not states[0].exists()
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "cat.jpg").touch()
    with pytest.raises(CloudError, match=MARKER):
        control.reset(foreign, lambda _: None)
    with pytest.raises(CloudError, match="not empty"):
        StateDir(foreign).prepare()
    assert (foreign / "cat.jpg").exists()
