"""Records: what is saved is what is loaded; other texts are no records."""

from __future__ import annotations

import json

import pytest

from goldenami.database.switchover_model import StorageChange, Switchover, WriteFreeze
from goldenami.state import records

SWITCHOVER = Switchover(
    "run", "i-old", "i-new", "moving", 2, suspended=("AZRebalance",), storage_change=StorageChange("rds", "instance")
)
FREEZE = WriteFreeze("run", "db.restore b", ("i-1", "i-2"), backup="b")


@pytest.mark.parametrize("record", [SWITCHOVER, FREEZE])
def test_record_round_trips(record: Switchover | WriteFreeze) -> None:
    assert records.parse(records.dump(record), type(record)) == record


def test_parse_ignores_unknown_keys_and_fills_in_defaults() -> None:
    text = json.dumps({"run": "run", "source": "i-old", "added_later": 1})
    assert records.parse(text, Switchover) == Switchover("run", "i-old")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "ami-1", '{"run": 1}', '{"run": "r", "source": ["i-1"]}'])
def test_parse_other_text_is_none(text: str) -> None:
    assert records.parse(text, Switchover) is None
