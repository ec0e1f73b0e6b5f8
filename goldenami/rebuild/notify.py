"""Send notifications to every destination of the recipe. A destination that fails affects nothing else."""

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
    """Destinations that were notified, and those that failed, with the reason."""

    notified: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def send(ctx: Context, notice: Notice) -> Delivery:
    """Send a notification to every destination. A failure is logged and returned, and never raised."""
    notified, failed = [], []
    for destination, send in _destinations(ctx, notice):
        try:
            send()
        except Exception as error:  # the result of the rebuild does not depend on its notification
            reason = str(explain(error) or error) or type(error).__name__
            failed.append(f"{destination}: {redact(reason.splitlines()[0])}")
            ctx.progress.info(f"could not notify {failed[-1]}")
        else:
            notified.append(destination)
            ctx.progress.detail(f"notified {destination}")
    return Delivery(tuple(notified), tuple(failed))


def _destinations(ctx: Context, notice: Notice) -> list[tuple[str, Callable[[], None]]]:
    settings = ctx.recipe.notify
    senders: list[Callable[[], None]] = []
    if settings.sns_topic_arn:
        senders.append(lambda: sns.publish(ctx.aws, settings.sns_topic_arn, notice.subject, notice.text))
    if name := settings.webhook_parameter:
        senders.append(lambda: http.post(parameters.get_secret(ctx.aws, name), notice.payload()))
    if settings.command:
        senders.append(lambda: _run_command(ctx, notice))
    return list(zip(settings.places, senders, strict=True))


def _run_command(ctx: Context, notice: Notice) -> None:
    argv, text = list(ctx.recipe.notify.command), json.dumps(notice.payload(), ensure_ascii=False)
    result = process.run(argv, cwd=ctx.root, stdin=text, timeout=60)
    if result.code:
        raise ToolError(result.last_line)


def notify_result(ctx: Context, text: str, *, failure: bool, unless_notified: str) -> Delivery:
    """Send a text to every destination.

    Args:
        text: The text.
        failure: True if it reports a failure.
        unless_notified: A systemd invocation id; nothing is sent if its rebuild already sent a notification.
    """
    for run in reversed(runs.list_runs(ctx.build)) if unless_notified else ():
        facts = run.facts()
        if facts.get("invocation") == unless_notified and facts.get("notified"):
            ctx.progress.info(f"the rebuild {run.id} already sent a notification")
            return Delivery()
    if not ctx.recipe.notify.places:
        ctx.progress.info(f"no notification: [notify] in {ctx.recipe.path.name} has no destination")
    return send(ctx, Notice("failure" if failure else "success", f"{ctx.name}: {text}"))
