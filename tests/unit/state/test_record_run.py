"""The record of a run has its final state, however the run ended."""

from __future__ import annotations

import pytest

from goldenami.bake import cleanup
from goldenami.state import runs
from goldenami.state.runs import Run
from tests.support.contexts import Checkout


def test_run_is_recorded_as_running_then_finished(at: Checkout) -> None:
    ctx, told = at.ctx(), []
    with runs.record_run(
        ctx, "promotion", on_end=lambda run, failure: told.append((run.id, failure)), ami="ami-1"
    ) as run:
        assert run.facts()["state"] == "running"
        ctx.progress.info("something happens")
    assert told == [(run.id, "")]
    facts = run.facts()
    assert (facts["state"], facts["kind"], facts["ami"]) == ("finished", "promotion", "ami-1")
    assert "something happens" in (run.folder / "promotion.log").read_text(encoding="utf-8")


def test_failure_is_recorded_after_on_end(at: Checkout) -> None:
    states = []
    with (
        pytest.raises(KeyboardInterrupt),
        runs.record_run(at.ctx(), "bake", on_end=lambda run, _: states.append(run.facts()["state"])) as run,
    ):
        raise KeyboardInterrupt
    assert states == ["running"]
    assert run.facts()["state"] == "failed"
    assert run.facts()["error"] == "KeyboardInterrupt"


def test_run_stays_running_if_on_end_fails(at: Checkout) -> None:
    ctx = at.ctx()

    def interrupted(_: Run, failure: str) -> None:
        raise KeyboardInterrupt(failure)

    with pytest.raises(KeyboardInterrupt, match="no room"), runs.record_run(ctx, "bake", on_end=interrupted):
        raise OSError("no room")
    assert [run.facts()["state"] for run in runs.list_runs(ctx.build)] == ["running"]
    cleanup.after_crashed_runs(ctx)
    assert [run.facts()["state"] for run in runs.list_runs(ctx.build)] == ["interrupted"]


def test_cleanup_ignores_running_promotion(at: Checkout) -> None:
    ctx = at.ctx()
    with runs.record_run(ctx, "promotion") as run:
        cleanup.after_crashed_runs(ctx)
        assert run.facts()["state"] == "running"
