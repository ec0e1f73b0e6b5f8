"""The runbook's way back to a backup, as docs/operations.md has it, on a fleet whose one instance holds its rows."""

from __future__ import annotations

import pytest

from tests.e2e.service import Service
from tests.e2e.test_rows import kept
from tests.e2e.test_runbook import follow
from tests.e2e.writer import Writer, entries

pytestmark = pytest.mark.data

__all__ = ["kept"]  # the fixture


def test_the_database_goes_back_to_a_backup(kept: Service) -> None:
    with Writer(kept.address) as writer:
        while len(writer.acknowledged) < 20:
            writer._end.wait(0.1)
    good = kept.ctx.ok("db.backup").strip()
    before = sorted(entries(kept.address))
    with Writer(kept.address) as later:
        while len(later.acknowledged) < 5:
            later._end.wait(0.1)
    assert len(entries(kept.address)) > len(before)
    follow(kept, "database", GOOD=good)
    assert sorted(entries(kept.address)) == before
    writer.check()
