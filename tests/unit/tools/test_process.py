"""Other programs: argv lists, live output, interrupts, and children that never outlive us."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings as limits, strategies as st

from goldenami.errors import ToolError
from goldenami.tools import process

words = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=20), max_size=4
)


@limits(max_examples=40)
@given(words)
def test_arguments_arrive_word_for_word_and_no_shell_looks_at_them(given_words: list[str]) -> None:
    done = process.run(["printf", "%s\\n", "first", *given_words])
    assert done.stdout.split("\n") == ["first", *given_words, ""]


def test_a_program_that_fails_is_a_result_not_an_exception(tmp_path: Path) -> None:
    script = "echo out; echo err >&2; cat; pwd; echo $MORE; exit 7"
    done = process.run(["sh", "-c", script], cwd=tmp_path, env={"MORE": "more"}, stdin="in\n")
    assert done == process.ProcessResult(7, f"out\nin\n{tmp_path}\nmore\n", "err\n")


def test_bytes_that_are_no_text_do_not_stop_us() -> None:
    assert process.run(["printf", "a\\377b"]).stdout == "a�b"


def test_what_is_not_installed_is_said_with_the_next_command() -> None:
    for call in (lambda: process.run(["no-such-tool"]), lambda: process.stream(["no-such-tool"], print)):
        with pytest.raises(ToolError, match="no-such-tool is not installed") as error:
            call()
        assert error.value.next == "./invoke doctor"
        assert error.value.exit_code == 3


def test_a_program_that_hangs_is_killed() -> None:
    with pytest.raises(ToolError, match="sleep did not finish within 0 s"):
        process.run(["sleep", "60"], timeout=0.05)


def test_a_stream_hands_over_lines_of_both_outputs_as_they_come() -> None:
    seen: list[str] = []
    code = process.stream(["sh", "-c", "echo one; echo two >&2; printf three; exit 5"], seen.append)
    assert (code, seen) == (5, ["one", "two", "three"])


def test_a_streamed_program_has_no_input_and_a_process_group_of_its_own() -> None:
    seen: list[str] = []
    report = "import os,sys; print(repr(sys.stdin.read()), os.getpgid(0) == os.getpid())"
    process.stream([sys.executable, "-IS", "-c", report], seen.append)
    assert seen == ["'' True"]


def test_a_line_that_cannot_be_handled_ends_the_program_too() -> None:
    def full(line: str) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        process.stream(["sh", "-c", "echo pid $$; exec sleep 60"], full, grace=5)


def test_a_program_that_does_not_stop_when_it_is_asked_is_killed_after_its_grace() -> None:
    pids: list[int] = []

    def interrupted(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    stubborn = "trap '' INT TERM; echo $$; while :; do sleep 0.05; done"
    with pytest.raises(KeyboardInterrupt):
        process.stream(["sh", "-c", stubborn], interrupted, grace=0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_without_setpriv_programs_still_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    seen: list[str] = []
    assert process.which("setpriv") is None
    assert process.stream(["sh", "-c", "echo here"], seen.append) == 0
    assert seen == ["here"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_becomes_an_interrupt_inside_the_block_only(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), process.terminate_as_interrupt():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.terminate_as_interrupt():
            signal.raise_signal(signal.SIGHUP)
    except KeyboardInterrupt:
        pytest.fail("interrupted")
    finally:
        signal.signal(signal.SIGHUP, before)
