"""Tell the team, at every place that the recipe names; a place that cannot be told changes nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from goldenami.aws import parameters, sns
from goldenami.aws.errors import explain
from goldenami.context import Context
from goldenami.errors import ToolError
from goldenami.rebuild.notice_model import Notice, redact
from goldenami.state import runs
from goldenami.tools import http, process


@dataclass(frozen=True)
class Delivery:
    """Which places were told, and which could not be, with the reason."""

    notified: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def send(ctx: Context, notice: Notice) -> Delivery:
    """Send a notice everywhere. It never raises for a place that does not take it: that is said, and returned."""
    told, failed = [], []
    for place, send in _destinations(ctx, notice):
        try:
            send()
        except Exception as error:  # whatever it is, the rebuild went as it went
            known = explain(error) or error
            failed.append(f"{place}: {redact(str(known).splitlines()[0] if str(known) else type(error).__name__)}")
            ctx.progress.info(f"could not tell {failed[-1]}")
        else:
            told.append(place)
            ctx.progress.detail(f"told {place}")
    return Delivery(tuple(told), tuple(failed))


def _destinations(ctx: Context, notice: Notice) -> list[tuple[str, Callable[[], None]]]:
    wanted = ctx.recipe.notify
    senders: list[Callable[[], None]] = []
    if wanted.sns_topic_arn:
        senders.append(lambda: sns.publish(ctx.aws, wanted.sns_topic_arn, notice.subject, notice.text))
    if name := wanted.webhook_parameter:
        senders.append(lambda: http.post(parameters.get_secret(ctx.aws, name), notice.payload()))
    if wanted.command:
        senders.append(lambda: _run(ctx, notice))
    return list(zip(wanted.places, senders, strict=True))


def _run(ctx: Context, notice: Notice) -> None:
    argv = list(ctx.recipe.notify.command)
    done = process.run(argv, cwd=ctx.root, stdin=json.dumps(notice.payload(), ensure_ascii=False), timeout=60)
    if done.code:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ToolError(f"exited with {done.code}" + (f": {said[-1]}" if said else ""))


def notify_result(ctx: Context, text: str, *, failure: bool, unless_told: str) -> Delivery:
    """Tell the team something.

    Args:
        shop: Where.
        text: What.
        failure: Whether it is about a failure.
        unless_told: A systemd invocation; where its rebuild has told of its own end, nothing is said again.
    """
    told = [
        run
        for run in runs.list_runs(ctx.build)
        if run.facts().get("invocation") == unless_told and run.facts().get("told")
    ]
    if unless_told and told:
        ctx.progress.info(f"the rebuild {told[-1].id} has told it itself")
        return Delivery()
    if not ctx.recipe.notify.places:
        ctx.progress.info(f"nobody is told: [notify] in {ctx.recipe.path.name} names no place")
    return send(ctx, Notice("failure" if failure else "success", f"{ctx.name}: {text}"))
