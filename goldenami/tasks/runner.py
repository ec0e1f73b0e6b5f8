"""Common code of the tasks: open the recipe and its target, print results, turn errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context as InvokeContext, Exit, task

if TYPE_CHECKING:
    from goldenami.context import Context
    from goldenami.text import Report

ROOT = Path(__file__).resolve().parents[2]


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Make a task report every failure as a message with the state, the next command, and a documented exit code."""

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> None:
        from goldenami.errors import GoldenError
        from goldenami.tools.process import terminate_as_interrupt

        try:
            with terminate_as_interrupt():
                body(*args, **kwargs)
        except Exit:
            raise
        except GoldenError as error:
            raise _exit(str(error), error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit(
                "\ninterrupted; started resources are cleaned up. Next: run the same command to continue", 130
            ) from None
        except Exception as error:
            from goldenami.aws.errors import explain

            known = explain(error)
            if known:
                raise _exit(str(known), known.exit_code) from None
            if os.environ.get("GOLDENAMI_DEBUG"):
                raise
            text = f"{type(error).__name__}: {error}"
            raise _exit(f"unexpected: {text}\nNext: set GOLDENAMI_DEBUG=1 for a traceback", 1) from None

    return run


def _exit(message: str, code: int) -> Exit:
    from goldenami.text import printable

    return Exit(f"\nerror: {printable(message)}", code)


def open_context(recipe: str, target: str) -> Context:
    """Create the context of a command. Starts the embedded cloud if the target is local."""
    from goldenami.aws.session import AwsSession
    from goldenami.context import Context
    from goldenami.recipe.load import load
    from goldenami.tools.clock import SystemClock
    from goldenami.tools.progress import Progress

    parsed = load(Path(recipe) if recipe else ROOT / "golden.toml")
    name = target or parsed.default_target
    selected = parsed.target(name)
    clock = SystemClock()
    progress = Progress(clock)
    aws = AwsSession(selected.region, profile=selected.profile or None, endpoint_url=selected.endpoint_url or None)
    if name == "local" and not selected.endpoint_url:
        cloud = start_cloud(progress.detail)
        aws = AwsSession(cloud.region, endpoint_url=cloud.endpoint, keys=(cloud.access_key, cloud.secret_key))
    return Context(ROOT, parsed, selected, aws, clock, progress)


def start_cloud(log: Callable[[str], None]) -> Any:
    """Start the embedded cloud unless it is running; return its connection data."""
    from localcloud import control

    with cloud_errors():
        return control.up(log=log)


@contextlib.contextmanager
def cloud_errors() -> Iterator[None]:
    """Raise errors of the embedded cloud as AWS errors."""
    from goldenami.errors import AwsError
    from localcloud.errors import CloudError

    try:
        yield
    except CloudError as error:
        raise AwsError(f"local cloud: {error}", next="./invoke local.status") from None


ContextFactory = Callable[[], "Context"]  # opens the recipe and its target, after the task has checked its options


def print_status(text: str) -> None:
    """Print to stderr, because stdout holds only results."""
    print(text, file=sys.stderr)


def print_report(report: Report, *, json: bool) -> None:
    """Print a report: its summary to stderr, its result to stdout as text or JSON."""
    from json import dumps

    from goldenami.text import printable

    if report.summary:
        print_status(printable(report.summary))
    print(printable(dumps(report.facts, ensure_ascii=False, default=dict) if json else report.text))


_COMMON_OPTIONS = {
    "recipe": "recipe file (default: golden.toml)",
    "target": "local or aws (default: the recipe's target)",
}


def recipe_task(name: str | None = None, **options: str) -> Callable[[Callable[..., None]], Any]:
    """Declare a task that works on the recipe: add --recipe and --target, and pass a context factory to its body.

    Args:
        name: Name of the task. Default: the name of the function.
        options: Help texts of its options.
    """

    def declare(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def run(_: InvokeContext, recipe: str = "", target: str = "", **given: Any) -> None:
            body(functools.partial(open_context, recipe, target), **given)

        own = list(inspect.signature(body).parameters.values())[1:]
        context, *common = list(inspect.signature(run, follow_wrapped=False).parameters.values())[:3]
        required = [p for p in own if p.default is p.empty]
        optional = [p for p in own if p.default is not p.empty]
        run.__signature__ = inspect.Signature([context, *required, *common, *optional])  # type: ignore[attr-defined]
        json_option = {"json": "print JSON"} if any(p.name == "json" for p in own) else {}
        return task(name=name, help={**_COMMON_OPTIONS, **json_option, **options})(command(run))

    return declare
