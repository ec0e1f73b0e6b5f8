"""The workflow file that teams copy: it parses, holds no key, pins each action, and runs a task that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

import tasks

PATH = Path(__file__).resolve().parents[1] / "examples/ci/github-actions-rebuild.yml"
TEXT = PATH.read_text(encoding="utf-8")


def workflow() -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(TEXT)
    return found


def test_it_asks_for_no_more_than_it_needs() -> None:
    assert workflow()["permissions"] == {"contents": "read", "id-token": "write"}
    assert not re.search(r"secrets\.|AWS_SECRET|aws-secret", TEXT)


def test_every_action_is_pinned_to_a_major_version() -> None:
    steps = workflow()["jobs"]["rebuild"]["steps"]
    uses = [step["uses"] for step in steps if "uses" in step]
    assert len(uses) >= 4
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", one) for one in uses), uses


def test_it_runs_a_task_with_options_that_exist() -> None:
    steps = workflow()["jobs"]["rebuild"]["steps"]
    (run,) = [step["run"] for step in steps if "run" in step]
    _, task, *options = run.split()
    known = {
        flag
        for told in tasks.describe_tasks()
        if told["name"] == task
        for option in told["options"]
        for flag in option["flags"]
    }
    assert {option.partition("=")[0] for option in options} <= known
