"""The reference of the tasks, docs/tasks.md, made from the tasks themselves, so that it cannot say anything else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_HEAD = """\
# The tasks, option by option

Every task is `./invoke TASK`, or `invoke TASK` inside the virtual environment. Results go to stdout and everything else to
stderr; `--json` prints the result for scripts. `--recipe` names another recipe file, and `--target` another target than the
recipe's own; tasks that take both say so. `./invoke --help TASK` prints the same.

This page is made from the tasks by `./invoke docs`; a test keeps it so.
"""
_EVERYWHERE = ("--recipe", "--target")


def page(tasks: Iterable[Mapping[str, Any]]) -> str:
    """The whole page, as Markdown.

    Args:
        tasks: Each with its `name`, `doc`, and `options`: `flags`, `means`, `default` and whether it is `needed`.
    """
    return _HEAD + "".join("".join(_task(task)) for task in tasks)


def _task(task: Mapping[str, Any]) -> Iterator[str]:
    first, _, rest = str(task["doc"]).strip().partition("\n")
    yield f"\n## `{task['name']}`\n\n{first.strip()}\n"
    if rest.strip():
        yield f"\n{textwrap.dedent(rest).strip()}\n"
    options = [option for option in task["options"] if option["flags"][0] not in _EVERYWHERE]
    if len(options) < len(task["options"]):
        yield "\nTakes `--recipe` and `--target`.\n"
    if options:
        yield "\n| option | meaning | default |\n|---|---|---|\n"
        for option in options:
            flags = " ".join(f"`{flag}`" for flag in option["flags"])
            yield f"| {flags} | {_cell(option['means'])} | {_default(option)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(option: Mapping[str, Any]) -> str:
    if option["needed"]:
        return "must be given"
    return f"`{option['default']}`" if option["default"] not in ("", False, None) else ""
