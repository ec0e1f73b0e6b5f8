"""The journal of an instance: its cursor is journald's, never the application's."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, strategies as st

from goldenami.fleet.instances import split_cursor
from goldenami.tools.quoting import sh

CURSOR = "s=6f0e2a;i=1a2b;b=9c;m=7;t=5d;x=ff01"


def test_split_cursor_returns_lines_and_last_cursor() -> None:
    assert split_cursor(f"one\ntwo\n-- cursor: {CURSOR}\n") == ("one\ntwo", CURSOR)
    assert split_cursor(f"-- cursor: {CURSOR}\n") == ("", CURSOR)
    assert split_cursor("one\n") == ("one", "")


@pytest.mark.parametrize(
    "line",
    [
        "GET /search?q=-- cursor: x'; id >/root/PWNED",
        "-- cursor: x'; id >/root/PWNED",
        "-- cursor: $(id)",
        f"-- cursor: {CURSOR} --root=/",
        f"GET /?q=-- cursor: {CURSOR}",
    ],
)
def test_split_cursor_ignores_what_the_application_logs(line: str) -> None:
    assert split_cursor(f"{line}\n-- cursor: {CURSOR}\n") == (line, CURSOR)
    assert split_cursor(f"one\n{line}\n") == (f"one\n{line}", "")


@given(st.text())
def test_split_cursor_returns_nothing_that_a_shell_expands(output: str) -> None:
    _, cursor = split_cursor(f"{output}\n-- cursor: {output}\n")
    assert shlex.split(f"--after-cursor={sh(cursor)}") == [f"--after-cursor={cursor}"]
    assert not set(cursor) - set("abcdefghijklmnopqrstuvwxyz0123456789=;")
