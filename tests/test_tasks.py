"""Command line: every failure is a message and an exit code, never a traceback; stdout has only results."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from invoke import Exit, Task

import tasks
from goldenami import errors
from goldenami.iam import task_policies
from goldenami.tasks.runner import command

ROOT = Path(__file__).resolve().parents[1]


def end(raising: Callable[[], object]) -> Exit:
    @command
    def body() -> None:
        raising()

    with pytest.raises(Exit) as error:
        body()
    return error.value


def throw(error: BaseException) -> Callable[[], object]:
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.GoldenError("x"), 1),
        (errors.RecipeError(["golden.toml: x"]), 2),
        (errors.UsageError("x"), 2),
        (errors.SourceError("x"), 2),
        (errors.RenderError("x"), 2),
        (errors.ToolError("x"), 3),
        (errors.BuildError("x"), 4),
        (errors.GateError("x"), 5),
        (errors.AwsError("x"), 6),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "RunInstances"), 6),
        (NoCredentialsError(), 6),
        (KeyboardInterrupt(), 130),
        (ValueError("x"), 1),
    ],
)
def test_each_error_type_has_its_exit_code(error: BaseException, code: int) -> None:
    assert end(throw(error)).code == code


def test_failure_prints_message_state_and_next_command() -> None:
    error = errors.BuildError("Packer failed", state="Nothing was launched.", next="packer validate .")
    assert end(throw(error)).message == "\nerror: Packer failed\nNothing was launched.\nNext: packer validate ."


def test_unexpected_error_is_a_message_unless_debug_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    message = end(throw(KeyError("x"))).message
    assert message == "\nerror: unexpected: KeyError: 'x'\nNext: set GOLDENAMI_DEBUG=1 for a traceback"
    monkeypatch.setenv("GOLDENAMI_DEBUG", "1")
    with pytest.raises(KeyError):
        command(throw(KeyError("x")))()  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_a_task_like_an_interrupt(number: signal.Signals) -> None:
    assert end(lambda: signal.raise_signal(number)).code == 130


def test_exit_code_of_the_task_is_kept() -> None:
    assert end(throw(Exit(code=7))).code == 7


def test_task_without_error_returns() -> None:
    command(lambda: None)()


def invoke(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "invoke", *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["bake", "--bump=huge"], 2, "error: --bump huge is unknown; expected minor, major or patch"),
        (["bake", "--version=newest"], 2, "error: 'newest' is not a version"),
        (["bake", "--recipe=/no/such.toml"], 2, "/no/such.toml"),
    ],
)
def test_invalid_options_exit_with_usage_error(words: list[str], code: int, message: str) -> None:
    done = invoke(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_listing_tasks_imports_nothing_slow() -> None:
    slow = "boto3 botocore jinja2 hcl2 pydantic rich moto cryptography localcloud goldenami.context goldenami.aws"
    script = f"import sys, tasks; print([m for m in {slow.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_task_and_option_has_help() -> None:
    for task in tasks.describe_tasks():
        assert task["doc"], task["name"]
        assert all(option["help"] for option in task["options"]), task


def test_every_task_is_in_the_namespace() -> None:
    modules = [value for value in vars(tasks).values() if isinstance(value, ModuleType)]
    declared = {value for module in modules for value in vars(module).values() if isinstance(value, Task)}
    assert declared == {tasks.namespace[name] for name in tasks.namespace.task_names}


# Tasks that do not call AWS, or that print policies.
WITHOUT_POLICY = {"test", "docs", "iam.policy", "local.up", "local.down", "local.status", "local.reset"}
WITHOUT_POLICY |= {"schedule.install", "schedule.status", "schedule.remove"}


def test_every_task_that_calls_aws_has_a_policy() -> None:
    names = {name.replace("_", "-") for name in tasks.namespace.task_names}
    assert names - WITHOUT_POLICY - set(task_policies.task_names()) == set()
