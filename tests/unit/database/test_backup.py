"""Backups: manifest, differences between a backup and a restored database, reasons against a restore; switchover state."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from goldenami.database import guard_plan
from goldenami.database.backup_model import (
    Fingerprint,
    Manifest,
    SequenceState,
    differences,
    dump_manifest,
    is_backup_id,
    parse_manifest,
    property_differences,
    restore_blockers,
)
from goldenami.database.guard_plan import InstanceData
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GateError
from goldenami.model.image import Image
from goldenami.model.names import prefix
from goldenami.recipe.recipe import bucket_name
from goldenami.state import records
from tests.support.recipes import RDS, recipe

FINGERPRINT = Fingerprint(
    tables={"public.entries": (3, "12"), "public.t": (0, "0")},
    sequences={"public.entries_id_seq": SequenceState(3, True, 1), "public.unused": SequenceState(1, False, 1)},
    extensions={"plpgsql": "1.0"},
    roles=("guestbook",),
)
MANIFEST = Manifest(
    id="20251002-030405-0abcde",
    service="guestbook",
    database="guestbook",
    owner="guestbook",
    major=15,
    created="2025-10-02T03:04:05+00:00",
    instance="i-1",
    mode="instance",
    commit="abc",
    size=10,
    sha256={"dump": "d", "roles": "r"},
    fingerprint=FINGERPRINT,
    writes_stopped=True,
)

names = st.text("abc.\"'한", min_size=1, max_size=8)
fingerprints = st.builds(
    Fingerprint,
    tables=st.dictionaries(
        names, st.tuples(st.integers(0, 9), st.text("0123456789", min_size=1, max_size=4)), max_size=4
    ),
    sequences=st.dictionaries(
        names,
        st.builds(SequenceState, st.integers(-9, 9), st.booleans(), st.sampled_from([-1, 1, 2]), st.booleans()),
        max_size=3,
    ),
    extensions=st.dictionaries(names, names, max_size=2),
    roles=st.lists(names, max_size=3, unique=True).map(lambda found: tuple(sorted(found))),
    large_objects=st.integers(0, 3),
)


@given(fingerprints)
def test_manifest_round_trips(found: Fingerprint) -> None:
    kept = replace(MANIFEST, fingerprint=found)
    assert parse_manifest(dump_manifest(kept), "x") == kept
    assert differences(kept, found) == []


@given(fingerprints, fingerprints)
def test_differences_are_empty_only_for_equal_fingerprints(before: Fingerprint, after: Fingerprint) -> None:
    told = differences(replace(MANIFEST, fingerprint=before), after)
    same = (before.tables, before.sequences, before.large_objects) == (
        after.tables,
        after.sequences,
        after.large_objects,
    )
    if not same:
        assert told
    elif not told:
        assert set(before.extensions) <= set(after.extensions)


def test_differences_name_each_kind() -> None:
    found = Fingerprint(
        tables={"public.entries": (2, "11"), "public.more": (1, "1")},
        sequences={"public.entries_id_seq": SequenceState(2, True, 1)},
    )
    assert differences(MANIFEST, found) == [
        "table public.entries had 3 rows, has 2",
        "table public.more is new",
        "table public.t is missing",
        "sequence public.entries_id_seq was at 3, is at 2",
        "sequence public.unused is missing",
        "extension plpgsql is missing",
    ]
    changed = replace(FINGERPRINT, tables={**FINGERPRINT.tables, "public.entries": (3, "13")}, roles=("other",))
    assert differences(MANIFEST, changed) == [
        "table public.entries has 3 rows, but not the same ones",
        "role guestbook is missing",
    ]


UP, DOWN, WHEEL = SequenceState(5, True, 1), SequenceState(-5, True, -1), SequenceState(3, True, 1, cycle=True)


@pytest.mark.parametrize(
    ("before", "after", "restored", "matches"),
    [
        (UP, UP, replace(UP, last_value=6), False),
        (UP, replace(UP, last_value=9), replace(UP, last_value=7), True),
        (UP, replace(UP, last_value=9), replace(UP, last_value=4), False),
        (DOWN, replace(DOWN, last_value=-9), replace(DOWN, last_value=-7), True),
        (DOWN, replace(DOWN, last_value=-9), replace(DOWN, last_value=-4), False),
        (UP, replace(UP, last_value=2), replace(UP, last_value=2), True),
        (replace(UP, is_called=False), UP, UP, True),
        (WHEEL, replace(WHEEL, last_value=1), replace(WHEEL, last_value=2), True),
    ],
)
def test_sequence_that_moved_during_the_backup_has_a_value_from_then(
    before: SequenceState, after: SequenceState, restored: SequenceState, matches: bool
) -> None:
    manifest = replace(
        MANIFEST,
        fingerprint=Fingerprint({}, {"s": before}),
        moved_sequences={} if after == before else {"s": after},
        writes_stopped=False,
    )
    assert (differences(manifest, Fingerprint({}, {"s": restored})) == []) == matches
    stopped = replace(manifest, writes_stopped=True)
    assert (differences(stopped, Fingerprint({}, {"s": restored})) == []) == (restored == before)


OLD = {
    "tables": {"public.t": [3, "12"]},
    "sequences": {"a": 3, "b": None},
    "extensions": {},
    "roles": [],
    "large_objects": 2,
}


def test_manifest_from_before_this_version_is_still_compared() -> None:
    values = {**json.loads(dump_manifest(MANIFEST)), "fingerprint": OLD, "writes_stopped": True}
    for name in ("moved_sequences", "bytes"):
        del values[name]
    manifest = parse_manifest(json.dumps(values), "x")
    restored = Fingerprint(
        tables={"public.t": (3, "12")},
        sequences={"a": SequenceState(3, True, 1), "b": SequenceState(1, False, 1)},
        large_objects=2,
        large_objects_checksum="7",
        policies={"public.t": "enabled"},
        database={"owner": "guestbook"},
    )
    assert (differences(manifest, restored), property_differences(manifest, restored)) == ([], [])
    ahead = replace(restored, sequences={**restored.sequences, "a": SequenceState(4, True, 1)})
    assert differences(manifest, ahead) == ["sequence a was at 3, is at 4"]
    assert differences(replace(manifest, writes_stopped=False), ahead) == []


def test_differences_name_contents_that_counts_do_not_show() -> None:
    before = Fingerprint({}, large_objects=1, large_objects_checksum="1", policies={"public.t": "enabled, forced"})
    after = replace(before, large_objects_checksum="2", policies={})
    assert differences(replace(MANIFEST, fingerprint=before), after) == [
        "there are 1 large objects, but not the same ones",
        "row-level security of public.t was enabled, forced, is none",
    ]
    before = Fingerprint({}, database={"owner": "a", "connection_limit": 20})
    after = Fingerprint({}, database={"owner": "a", "connection_limit": -1})
    assert property_differences(replace(MANIFEST, fingerprint=before), after) == [
        "the connection limit of the database was 20, is -1"
    ]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"id": 1}', dump_manifest(MANIFEST)[:-40]])
def test_parse_manifest_refuses_other_texts(text: str) -> None:
    with pytest.raises(GateError, match="is not the manifest of a backup"):
        parse_manifest(text, "b1")


def test_restore_of_foreign_or_newer_backup_is_refused() -> None:
    assert list(restore_blockers(MANIFEST, recipe(), 15)) == []
    assert list(restore_blockers(MANIFEST, recipe(), 16)) == []
    assert "is from PostgreSQL 15, which a server of version 14 cannot read" in next(
        restore_blockers(MANIFEST, recipe(), 14)
    )
    assert "is a backup of other, not of guestbook" in next(
        restore_blockers(replace(MANIFEST, service="other"), recipe(), 15)
    )
    assert "of the database x of" in next(restore_blockers(replace(MANIFEST, database="x"), recipe(), 15))


def test_names() -> None:
    assert bucket_name(recipe(), "123456789012", "ap-northeast-2") == "goldenami-guestbook-123456789012-ap-northeast-2"
    assert len(bucket_name(recipe({"image.name": "a" * 40}), "123456789012", "ap-northeast-2")) == 63
    assert bucket_name(recipe({"backup": {"bucket": "mine"}}), "1", "r") == "mine"
    assert prefix("guestbook", "b") == "guestbook/backups/b"
    assert is_backup_id("20251002-030405-0abcde")
    assert is_backup_id("20251002-030405-0abcde-switchover")
    assert not is_backup_id("../20251002-030405-0abcde")


GUARDED = [
    ({}, [InstanceData("i-1", server_running=True, rows=5, major=15)], 15, None),
    ({}, [InstanceData("i-1", server_running=True, rows=5, major=15)], 16, None),
    (
        {},
        [InstanceData("i-1", server_running=True, rows=5, major=16)],
        15,
        "i-1 has PostgreSQL 16 and the image 15, which cannot read",
    ),
    ({}, [InstanceData("i-1", reachable=False)], 15, "cannot inspect the data of i-1"),
    ({}, [InstanceData("i-1", databases=1)], 15, "the database server of i-1 does not answer"),
    (
        {},
        [InstanceData("i-1", server_running=True), InstanceData("i-2", server_running=True)],
        15,
        "2 instances have a database each",
    ),
    (RDS, [InstanceData("i-1"), InstanceData("i-2")], 15, None),
    (RDS, [InstanceData("i-1", reachable=False)], 15, None),
    (
        RDS,
        [InstanceData("i-1", server_running=True, rows=7)],
        15,
        'i-1 has 7 row(s) of its own, although the storage mode is "rds"',
    ),
    (RDS, [InstanceData("i-1", databases=1)], 15, "i-1 has a database whose server does not answer of its own"),
]


@pytest.mark.parametrize(("changes", "found", "major", "told"), GUARDED)
def test_data_blockers_depend_on_the_inspected_instances(
    changes: dict[str, object], found: list[InstanceData], major: int, told: str | None
) -> None:
    image = Image("ami-1", "n", "available", "x86_64", "2026", tags={"PostgreSQL": str(major)})
    reasons = list(guard_plan.data_blockers(recipe(changes), found, image))
    assert (reasons == []) if told is None else any(told in reason for reason in reasons), reasons


def test_switchover_has_one_primary_at_every_step() -> None:
    there = Switchover("run", "i-old", version=2, max_size=1, suspended=("AZRebalance",))
    assert records.parse(records.dump(there), Switchover) == there
    there = there.advance("moving", "i-new")
    assert (there.primary, there.data_arrived) == ("i-old", False)
    there = there.advance("opened")
    assert (there.primary, there.data_arrived) == ("i-new", True)
    back = there.reversed(1)
    assert (back.primary, back.data_arrived, back.version, back.is_reversal) == ("i-new", False, 1, True)
    assert back.advance("opened").primary == "i-old"
    assert back.reverted(2).primary == "i-new"
    assert back.reverted(2).source == "i-old"
    for text in ("", "{}", "null", '{"run": "x"}'):
        assert records.parse(text, Switchover) is None
