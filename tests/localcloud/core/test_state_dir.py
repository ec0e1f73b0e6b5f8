"""The state folder: a folder that another user may change is refused, because code is loaded from it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from localcloud.errors import CloudError
from localcloud.state_dir import StateDir, default_cache_dir


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    StateDir.at(state).prepare()
    for mode in (0o777, 0o722):
        state.chmod(mode)
        with pytest.raises(CloudError, match=f"other users may write to {state}; run chmod go-w on it"):
            StateDir.at(state)
    state.chmod(0o700)
    tmp_path.chmod(0o777)
    with pytest.raises(CloudError, match=f"Cannot use {state}: other users may write to {tmp_path}"):
        StateDir.at(state)
    tmp_path.chmod(0o1777)
    assert StateDir.at(state).root == state


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root changes a folder's owner")
    state = tmp_path / "state"
    StateDir.at(state).prepare()
    os.chown(state, 65534, 65534)
    with pytest.raises(CloudError, match="belongs to another user"):
        StateDir.at(state)
    monkeypatch.setenv("GOLDENAMI_CACHE", str(state))
    with pytest.raises(CloudError, match="belongs to another user"):
        default_cache_dir()


def test_the_owner_s_key_is_random_and_private(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        folder = StateDir.at(tmp_path / name)
        folder.prepare()
        assert stat.S_IMODE(folder.owner_file.stat().st_mode) == 0o600
        keys.append(folder.read_owner())
        folder.prepare()
        assert folder.read_owner() == keys[-1]
    assert keys[0] != keys[1]
    assert keys[0].secret_key not in repr(keys[0])
