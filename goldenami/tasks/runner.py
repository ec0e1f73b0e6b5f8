"""What every task stands on: it opens the recipe and its target, and every failure ends in one sentence and an exit code."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context as InvokeContext
from invoke import Exit, task

if TYPE_CHECKING:
    from goldenami.context import Context


ROOT = Path(__file__).resolve().parents[2]


def command(body: Callable[..., None]) -> Callable[..., None]:
    """End every failure the same way: one sentence, the state, the next command, a documented exit code."""

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
            raise Exit(f"\nerror: {error}", error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit(
                "\ninterrupted; what it had started is cleaned up. Next: the same command goes on", 130
            ) from None
        except Exception as error:
            from goldenami.aws.errors import explain

            known = explain(error)
            if known:
                raise Exit(f"\nerror: {known}", known.exit_code) from None
            if os.environ.get("GOLDENAMI_DEBUG"):
                raise
            told = f"{type(error).__name__}: {error}"
            raise Exit(f"\nerror: unexpected: {told}\nNext: GOLDENAMI_DEBUG=1 shows where it happened", 1) from None

    return run


def open_context(recipe: str, target: str) -> Context:
    """Put together what a flow works with; the local target's cloud is started on demand."""
    from goldenami.aws.session import AwsSession
    from goldenami.context import Context
    from goldenami.recipe.load import load
    from goldenami.tools.clock import SystemClock
    from goldenami.tools.progress import Progress

    read = load(Path(recipe) if recipe else ROOT / "golden.toml")
    name = target or read.default_target
    chosen = read.target(name)
    clock = SystemClock()
    progress = Progress(clock)
    aws = AwsSession(chosen.region, profile=chosen.profile or None, endpoint_url=chosen.endpoint_url or None)
    if name == "local" and not chosen.endpoint_url:
        cloud = cloud_up(progress.detail)
        aws = AwsSession(cloud.region, endpoint_url=cloud.endpoint, keys=(cloud.access_key, cloud.secret_key))
    return Context(ROOT, read, chosen, aws, clock, progress)


def cloud_up(log: Callable[[str], None]) -> Any:
    """Start the embedded cloud, or find it running."""
    from localcloud import control

    with cloud_errors():
        return control.up(log=log)


@contextlib.contextmanager
def cloud_errors() -> Iterator[None]:
    """Tell what the embedded cloud refuses as AWS's refusals are told."""
    from goldenami.errors import AwsError
    from localcloud.errors import CloudError

    try:
        yield
    except CloudError as error:
        raise AwsError(f"the local cloud: {error}", next="./invoke local.status") from None


ContextFactory = Callable[[], "Context"]  # opens the recipe and its target


def print_status(text: str) -> None:
    """Tell people something: stderr, so that stdout holds results alone."""
    print(text, file=sys.stderr)


_WHERE = {
    "recipe": "the recipe file (default: golden.toml)",
    "target": "local or aws (default: what the recipe says)",
}


def recipe_task(name: str | None = None, **options: str) -> Callable[[Callable[..., None]], Any]:
    """Declare a task that works on the recipe: it also takes --recipe and --target, and its body gets what opens both.

    Args:
        name: The task's name, where it is not the function's.
        options: What each of its own options means.
    """

    def declare(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def run(_: InvokeContext, recipe: str = "", target: str = "", **given: Any) -> None:
            body(functools.partial(open_context, recipe, target), **given)

        own = list(inspect.signature(body).parameters.values())[1:]
        context, *where = list(inspect.signature(run, follow_wrapped=False).parameters.values())[:3]
        needed = [p for p in own if p.default is p.empty]
        optional = [p for p in own if p.default is not p.empty]
        run.__signature__ = inspect.Signature([context, *needed, *where, *optional])  # type: ignore[attr-defined]
        told = {**_WHERE, **({"json": "print JSON"} if any(p.name == "json" for p in own) else {}), **options}
        return task(name=name, help=told)(command(run))

    return declare
