"""Errors of the data script: PostgreSQL's message with its details, and the state that the script reports."""

from __future__ import annotations

import pytest

from goldenami.aws.run_command import CommandResult
from goldenami.database.agent import _parse_result
from goldenami.errors import GateError
from tests.support.recipes import recipe

RELEASE = """ERROR 003_x.sql, line 12: ERROR:  could not create unique index "numbers"
DETAIL:  Key (number)=(7) is duplicated.
STATE The database is as before 003_x.sql
  psql:./migrations/003_x.sql:12: ERROR:  could not create unique index "numbers"
ERROR line 120 of the script failed (release-apply)
"""


def test_failing_statement_is_the_first_cause() -> None:
    with pytest.raises(GateError) as raised:
        _parse_result("i-1", "release-apply", CommandResult(status="Failed", code=1, stdout="", stderr=RELEASE))
    assert raised.value.message == (
        'release-apply on i-1 failed: 003_x.sql, line 12: ERROR:  could not create unique index "numbers"'
        "; DETAIL:  Key (number)=(7) is duplicated."
    )
    assert raised.value.state == "The database is as before 003_x.sql"


@pytest.mark.parametrize(
    ("size", "size_in_bytes"), [("512 MiB", 512 * 1024**2), ("10 GiB", 10 * 1024**3), (3, 3 * 1024**3)]
)
def test_rehearsal_size_is_text_or_a_number_of_gib(size: str | int, size_in_bytes: int) -> None:
    release = {"migrations": "migrations/", "rehearsal_max_size": size}
    assert recipe({"app.schema": "", "release": release}).release.rehearsal_max_bytes == size_in_bytes
