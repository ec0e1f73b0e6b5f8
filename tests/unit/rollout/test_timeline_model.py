"""The deployment checklist: what happened, what failed, and what does not apply."""

from __future__ import annotations

from goldenami.rollout.timeline_model import CHECKLIST, NO_CANARY, Event, Timeline, checklist
from goldenami.text import markdown_checklist

AT = "2026-01-05T03:00:00Z"
KINDS = [kind for _, kind in CHECKLIST]


def timeline(*kinds: str) -> Timeline:
    return Timeline([Event(AT, kind, f"text of {kind}") for kind in kinds])


def test_checklist_of_a_complete_rollout_passes_every_item() -> None:
    assert [item.ok for item in checklist(timeline(*KINDS), passed=True)] == [True] * len(CHECKLIST)


def test_checklist_fails_the_first_item_that_was_not_reached() -> None:
    assert [item.ok for item in checklist(timeline("launched"), passed=False)] == [True, False, *[None] * 4]


def test_checklist_of_a_fleet_of_one_has_no_canary_and_says_why() -> None:
    items = checklist(timeline(NO_CANARY, *KINDS), passed=True)
    canary = items[KINDS.index("canary")]
    assert (canary.ok, canary.evidence, canary.applicable) == (None, (f"text of {NO_CANARY}",), False)
    assert all(item.ok for item in items if item is not canary)
    assert "- [-] Part of the traffic shifted (canary): not applicable" in markdown_checklist(items)


def test_checklist_of_a_failed_fleet_of_one_fails_another_item() -> None:
    items = checklist(timeline(NO_CANARY, "launched", "healthy"), passed=False)
    assert [item.ok for item in items] == [True, True, None, False, None, None]
