"""The monthly rebuild on the local cloud: with and without changes, killed in any phase, and concurrent."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cases import few
from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.e2e


@pytest.fixture
def ready(tiny: Workspace) -> Workspace:
    """Baked image, and a notification command for each rebuild."""
    tiny.edit("golden.toml", "[tags]", f'[notify]\ncommand = ["tee", "-a", "{tiny.root}/told.json"]\n\n[tags]')
    tiny.ok("bake")
    return tiny


def notifications(ctx: Workspace) -> list[dict[str, Any]]:
    """Return the notifications that the command received, oldest first."""
    found, text, decoder = [], "", json.JSONDecoder()
    if (ctx.root / "told.json").exists():
        text = (ctx.root / "told.json").read_text()
    while text.strip():
        one, end = decoder.raw_decode(text.lstrip())
        found.append(one["goldenami"])
        text = text.lstrip()[end:]
    return found


def record(ctx: Workspace) -> dict[str, Any]:
    value = ctx.client("ssm").get_parameter(Name="/goldenami/guestbook/rebuild")["Parameter"]["Value"]
    found: dict[str, Any] = json.loads(value)
    return found


def change(ctx: Workspace) -> None:
    (ctx.root / "tests/e2e/tiny/who.txt").write_text(f"changed at {time.monotonic_ns()}")


def test_unchanged_and_changed_application(ready: Workspace) -> None:
    before, launched = ready.golden_ids(), ready.launched()
    nothing = json.loads(ready.ok("rebuild", "--if-needed", "--json"))
    assert nothing["state"] == "unchanged"
    assert ready.golden_ids() == before
    assert ready.launched() == launched
    assert record(ready)["state"] == "unchanged"
    assert notifications(ready) == []

    change(ready)
    planned = json.loads(ready.ok("rebuild", "--if-needed", "--plan", "--json"))
    assert [reason["kind"] for reason in planned["reasons"]] == ["application"]
    assert ready.golden_ids() == before
    done = json.loads(ready.ok("rebuild", "--if-needed", "--json"))
    assert done["state"] == "finished"
    assert ready.golden_ids() == before | {done["ami"]}
    assert ready.candidate() == done["ami"]
    assert done["version"] == planned["next_version"]
    assert "application" in {c["what"] for c in done["changes"]}
    assert [notice["result"] for notice in notifications(ready)] == ["success"]
    assert "## Changes" in (Path(done["folder"]) / "rebuild.md").read_text()
    assert ready.leftovers() == []
    assert json.loads(ready.ok("rebuild", "--if-needed", "--json"))["state"] == "unchanged"


# Log output at the start of each phase.
PHASES = {
    "base": "scripts/20-update.sh",
    "app": "scripts/30-build.sh",
    "gate": "probing http://",
    "prune": "find references to images",
}


@pytest.mark.parametrize("phase", few(PHASES, "app", "prune"))
def test_killed_rebuild_is_completed_by_the_next(ready: Workspace, phase: str) -> None:
    change(ready)
    before, bases = ready.golden_ids(), bases_of(ready)
    with ready.running("rebuild", "--if-needed") as first:
        first.wait_for(PHASES[phase])
        first.stop(signal.SIGKILL)
    done = json.loads(ready.ok("rebuild", "--if-needed", "--json"))
    assert done["state"] == "finished"
    assert ready.golden_ids() == before | {done["ami"]}
    assert len(bases_of(ready) - bases) == 1
    assert ready.candidate() == done["ami"]
    assert ready.leftovers() == []
    assert [notice["result"] for notice in notifications(ready)] == ["success"]


def bases_of(ctx: Workspace) -> set[str]:
    return {image["id"] for image in ctx.images() if not image["version"]}


def test_concurrent_rebuilds(ready: Workspace, tmp_path: Path) -> None:
    change(ready)
    before = ready.golden_ids()
    with ready.running("rebuild", "--if-needed") as first:
        first.wait_for("because the application")
        second = ready.invoke("rebuild", "--if-needed")
        assert second.returncode == 7, second.stderr
        assert "the rebuild is locked by" in second.stderr
        assert first.process.wait(600) == 0
    assert len(ready.golden_ids() - before) == 1
    assert [notice["result"] for notice in notifications(ready)] == ["success"]
