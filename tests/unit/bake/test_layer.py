"""The cause of a failed bake."""

from __future__ import annotations

from goldenami.bake.layer import _cause
from goldenami.tools.packer import BuildOutcome


def test_failing_statement_is_the_first_cause_of_a_failed_bake() -> None:
    lines = (
        "book-database.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
        "error: 002_x.sql, line 1: ERROR:  division by zero",
        "STATE The database is as before 002_x.sql",
    )
    errors = tuple(f"==> amazon-ebs.golden: {line}" for line in lines)
    cause = _cause(BuildOutcome(1, errors, ()))
    assert cause == "error: 002_x.sql, line 1: ERROR:  division by zero; STATE The database is as before 002_x.sql"
