"""The runbook of docs/operations.md for restoring a backup, on a fleet with its data on the instance."""

from __future__ import annotations

import pytest

from tests.e2e.service import Service
from tests.e2e.test_rows import guestbook
from tests.e2e.test_runbook import follow
from tests.e2e.writer import Writer, entries

pytestmark = pytest.mark.data

__all__ = ["guestbook"]  # the fixture


def test_database_is_restored_from_a_backup(guestbook: Service) -> None:
    with Writer(guestbook.address) as writer:
        while len(writer.acknowledged) < 20:
            writer._end.wait(0.1)
    good = guestbook.ctx.ok("db.backup").strip()
    before = sorted(entries(guestbook.address))
    with Writer(guestbook.address) as later:
        while len(later.acknowledged) < 5:
            later._end.wait(0.1)
    assert len(entries(guestbook.address)) > len(before)
    follow(guestbook, "database", GOOD=good)
    assert sorted(entries(guestbook.address)) == before
    writer.check()
