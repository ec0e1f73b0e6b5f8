"""Progress: every text as it is, phases with their time, and the log."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from goldenami.tools.progress import Progress
from tests.support.clock import ScriptedClock

lines = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=200).map(
    lambda text: " ".join(text.split())
)


def made() -> tuple[Progress, io.StringIO, ScriptedClock]:
    clock, stream = ScriptedClock(), io.StringIO()
    return Progress(clock, stream), stream, clock


@given(lines.filter(lambda text: text.count(":") < 2 and not text.endswith("\\")))
def test_what_is_said_comes_out_as_it_is(text: str) -> None:
    progress, stream, _ = made()
    progress.info(text)
    progress.detail(text)
    assert stream.getvalue() == f"[00:00] {text}\n[00:00]   {text}\n"


@pytest.mark.parametrize("text", ["[bold]x[/]", "[/]", "[red", "\\[x]", "[link=http://x]y[/link]", "x" * 500])
def test_markup_in_what_is_said_is_text(text: str) -> None:
    progress, stream, _ = made()
    progress.info(text)
    assert stream.getvalue() == f"[00:00] {text}\n"


@pytest.mark.parametrize("text", ["arn:aws:key:x and tag:warning:y", "a line that goes on \\"])
def test_colons_and_backslashes_in_what_is_said_are_text(text: str) -> None:
    progress, stream, _ = made()
    progress.info(text)
    assert stream.getvalue() == f"[00:00] {text}\n"


def test_phases_add_up_and_say_how_they_ended() -> None:
    progress, stream, clock = made()
    with progress.phase("bake base layer"):
        clock.sleep(61.26)
    with progress.phase("bake base layer"):
        clock.sleep(2)
    with pytest.raises(KeyError), progress.phase("verify"):
        raise clock.sleep(1) or KeyError
    assert progress.phases == {"bake base layer": 63.3, "verify": 1.0}
    assert stream.getvalue().splitlines() == [
        "[00:00] bake base layer …",
        "[01:01] bake base layer: done (61.3 s)",
        "[01:01] bake base layer …",
        "[01:03] bake base layer: done (2.0 s)",
        "[01:03] verify …",
        "[01:04] verify: stopped (1.0 s)",
    ]


def test_the_log_holds_everything_with_the_time_of_day_while_it_is_asked_for(tmp_path: Path) -> None:
    progress, stream, clock = made()
    progress.info("before")
    with progress.log_to(tmp_path / "rebuild.log"):
        with progress.log_to(tmp_path / "bake.log"):
            progress.info("said")
            clock.sleep(60)
            progress.detail("a detail")
            progress.record("for the log alone")
        progress.info("back in the log before it")
    progress.info("after")
    assert (tmp_path / "rebuild.log").read_text(encoding="utf-8") == "2026-03-14T09:27:53Z back in the log before it\n"
    assert (tmp_path / "bake.log").read_text(encoding="utf-8").splitlines() == [
        "2026-03-14T09:26:53Z said",
        "2026-03-14T09:27:53Z   a detail",
        "2026-03-14T09:27:53Z   for the log alone",
    ]
    assert "for the log alone" not in stream.getvalue()


def test_nothing_but_text_goes_to_a_stream_that_is_no_terminal() -> None:
    progress, stream, _ = made()
    with progress.phase("p"):
        progress.detail("x")
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_progress_of_a_build_that_prints_control_characters_has_none(tmp_path: Path) -> None:
    progress, stream, _ = made()
    clipboard = "\x1b]52;c;aGVsbG8=\x07"
    with progress.log_to(tmp_path / "log"):
        progress.info(f"one{clipboard}")
        progress.detail(f"two{clipboard}")
        progress.record(f"three{clipboard}\x9b31m")
    for output in (stream.getvalue(), (tmp_path / "log").read_text(encoding="utf-8")):
        assert not {"\x1b", "\x07", "\x9b"} & set(output)
        assert "one" in output
