"""What is kept dies with its keeper, and its keeper with the server; what a dead server left is found and ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.machines import supervised
from localcloud.machines.cleanup import reap
from localcloud.machines.errors import MachineError
from tests.support.machine_lab import until

SERVER = """
import sys, threading
from pathlib import Path
from localcloud.machines import supervised as kept
process = kept.launch(Path(sys.argv[1]), "plain", {"argv": ["sleep", "600"]}, [])
print("launched", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "machines" / "i-1"
    path.mkdir(parents=True)
    return path


def test_a_kept_process_runs_in_the_folder_and_is_cut_off(folder: Path) -> None:
    process = supervised.launch(folder, "plain", {"argv": ["sh", "-c", "pwd >where; exec sleep 600"]}, [])
    assert until(lambda: (folder / "where").exists() and (folder / "where").read_text() == f"{folder}\n")
    assert len(list(supervised.find_processes(folder))) == 2
    supervised.terminate(process)
    assert until(lambda: not list(supervised.find_processes(folder)))


def test_the_keeper_ends_when_what_it_keeps_ends(folder: Path) -> None:
    process = supervised.launch(folder, "plain", {"argv": ["true"]}, [])
    assert process.wait(5) == 0
    supervised.terminate(process)


def test_stop_reaches_what_is_kept_as_sigterm(folder: Path) -> None:
    script = "trap 'echo stopped >stopped; exit' TERM; touch ready; while :; do sleep 0.05; done"
    process = supervised.launch(folder, "plain", {"argv": ["sh", "-c", script]}, [])
    assert until((folder / "ready").exists)
    supervised.send_line(process, "stop")
    assert process.wait(5) == 0
    assert (folder / "stopped").exists()
    supervised.terminate(process)


def test_a_process_that_cannot_be_run_is_named(folder: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot start machine i-1: .*no-such-program"):
        supervised.launch(folder, "plain", {"argv": ["no-such-program"]}, [])


def test_a_killed_server_takes_its_processes_with_it(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"launched\n"
        assert len(list(supervised.find_processes(folder.parent))) == 2
        server.kill()
    assert until(lambda: not list(supervised.find_processes(folder.parent)))
    assert [line for line in reap(folder.parent) if "process" in line] == []


def test_reap_ends_what_was_left_here_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "machines-of-another"
    mine, theirs = (
        subprocess.Popen(["sleep", "600"], env={supervised.ENVIRONMENT_MARK: str(mark)})
        for mark in (folder, other / "i-1")
    )
    try:
        assert f"ended process {mine.pid}" in reap(folder.parent)
        assert mine.wait(5) == -signal.SIGKILL
        assert theirs.poll() is None
    finally:
        theirs.kill()
        theirs.wait()


def test_reap_of_no_folder_does_nothing(tmp_path: Path) -> None:
    assert reap(tmp_path / "machines") == []
