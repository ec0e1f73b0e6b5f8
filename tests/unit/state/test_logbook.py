"""A run's record tells how far it came, however it ended."""

from __future__ import annotations

import pytest

from goldenami.bake import cleanup
from goldenami.state import runs
from goldenami.state.runs import Run
from tests.support.contexts import Checkout


def test_a_run_is_running_and_then_finished(at: Checkout) -> None:
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


def test_a_failure_is_recorded_after_what_is_to_be_done_at_the_end(at: Checkout) -> None:
    states = []
    with (
        pytest.raises(KeyboardInterrupt),
        runs.record_run(at.ctx(), "bake", on_end=lambda run, _: states.append(run.facts()["state"])) as run,
    ):
        raise KeyboardInterrupt
    assert states == ["running"]
    assert run.facts()["state"] == "failed"
    assert run.facts()["error"] == "KeyboardInterrupt"


def test_interrupted_at_its_end_too_it_stays_open_for_the_next_bake(at: Checkout) -> None:
    ctx = at.ctx()

    def interrupted(_: Run, failure: str) -> None:
        raise KeyboardInterrupt(failure)

    with pytest.raises(KeyboardInterrupt, match="no room"), runs.record_run(ctx, "bake", on_end=interrupted):
        raise OSError("no room")
    assert [run.facts()["state"] for run in runs.list_runs(ctx.build)] == ["running"]
    cleanup.after_crashed_runs(ctx)
    assert [run.facts()["state"] for run in runs.list_runs(ctx.build)] == ["interrupted"]


def test_a_bake_takes_no_promotion_under_way_for_dead(at: Checkout) -> None:
    ctx = at.ctx()
    with runs.record_run(ctx, "promotion") as run:
        cleanup.after_crashed_runs(ctx)
        assert run.facts()["state"] == "running"
