"""Run folders, their records, and the file lock."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from goldenami.state import runs

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


def is_locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_run_ids_sort_by_time_and_are_unique(tmp_path: Path) -> None:
    made = [runs.create(tmp_path / "build", NOW + timedelta(seconds=n // 2)) for n in range(6)]
    assert len({run.id for run in made}) == 6
    assert [run.id[:15] for run in made] == sorted(run.id[:15] for run in made)
    assert made[0].folder == tmp_path / "build" / made[0].id
    assert made[0].id.startswith("20260314-092653-")


def test_facts_accumulate_and_runs_are_listed_in_order(tmp_path: Path) -> None:
    later, first = runs.create(tmp_path, NOW + timedelta(hours=1)), runs.create(tmp_path, NOW)
    for run in (later, first):
        run.record(state="running", 이름="값")
        run.record(state="finished")
    runs.create(tmp_path, NOW)  # killed before it wrote anything: made nothing
    assert runs.list_runs(tmp_path) == [first, later]
    assert first.facts() == {"state": "finished", "이름": "값"}
    assert "값" in (first.folder / "run.json").read_text(encoding="utf-8")
    assert runs.list_runs(tmp_path / "nothing-here") == []


@pytest.mark.parametrize("left", [None, "", '{"state": "run'])
def test_truncated_record_is_empty(tmp_path: Path, left: str | None) -> None:
    run = runs.create(tmp_path, NOW)
    if left is not None:
        (run.folder / "run.json").write_text(left)
    assert run.facts() == {}
    run.record(state="running")
    assert run.facts() == {"state": "running"}


def test_failed_write_keeps_the_previous_text(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    runs.write_json(path, {"state": "running"})
    with pytest.raises(TypeError):
        runs.write_json(path, {"state": object()})
    with pytest.raises(UnicodeEncodeError):
        runs.write_text(path, "\ud800")
    assert json.loads(path.read_text()) == {"state": "running"}


def test_discard_deletes_the_folder_but_not_link_targets(tmp_path: Path) -> None:
    run = runs.create(tmp_path / "build", NOW)
    kept = tmp_path / "kept"
    kept.mkdir()
    (run.folder / "base").mkdir()
    (run.folder / "base/file").touch()
    (run.folder / "link").symlink_to(kept)
    runs.discard(run)
    assert not run.folder.exists()
    assert kept.is_dir()


def test_file_lock_is_released_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "build/bake.lock"

    def fail() -> None:
        with runs.lock(path) as descriptor:
            assert is_locked(path)
            assert os.fstat(descriptor).st_ino == path.stat().st_ino
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not is_locked(path)


def test_file_lock_waits_until_the_holder_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    holder = subprocess.Popen(["flock", path, "sh", "-c", "echo held; read -r line"], stdin=-1, stdout=-1, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        assert holder.stdin is not None
        holder.stdin.write("go\n")
        holder.stdin.flush()

    with runs.lock(path, "waiting", say):
        assert said == ["waiting"]
    holder.wait()


def test_file_lock_is_kept_by_a_child_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with runs.lock(path) as descriptor:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    assert is_locked(path)
    child.communicate()
    assert not is_locked(path)
