"""Generate the documentation that comes from code: docs/tasks.md, docs/recipe.md and the policy in docs/aws.md."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from goldenami.dev import recipe_reference
from goldenami.iam import task_policies
from goldenami.iam.statements import PolicyScope
from goldenami.recipe.load import load
from goldenami.tools import process

_HEAD = """\
# The tasks, option by option

Run a task with `./invoke TASK`, or with `invoke TASK` inside the virtual environment. Results are printed to stdout, and
progress to stderr; `--json` prints the result as JSON. `--recipe` selects another recipe file, and `--target` overrides the
recipe's target, for the tasks that accept them. `./invoke --help TASK` prints the same text.

This page is generated from the tasks by `./invoke docs`; a test checks that it is current.
"""
_COMMON_OPTIONS = ("--recipe", "--target")


def page(tasks: Iterable[Mapping[str, Any]]) -> str:
    """Return the task reference, as Markdown.

    Args:
        tasks: Tasks with `name`, `doc`, and `options`: `flags`, `help`, `default`, `required`.
    """
    tasks = list(tasks)
    index = "".join(f"| [`{task['name']}`](#{_anchor(task)}) | {_cell(_summary(task))} |\n" for task in tasks)
    return f"{_HEAD}\n| task | |\n|---|---|\n{index}" + "".join("".join(_task(task)) for task in tasks)


def _anchor(task: Mapping[str, Any]) -> str:
    return str(task["name"]).replace(".", "")


def _summary(task: Mapping[str, Any]) -> str:
    return str(task["doc"]).strip().partition("\n")[0].strip()


def _task(task: Mapping[str, Any]) -> Iterator[str]:
    rest = str(task["doc"]).strip().partition("\n")[2]
    yield f"\n## `{task['name']}`\n\n{_summary(task)}\n"
    if rest.strip():
        yield f"\n{textwrap.dedent(rest).strip()}\n"
    options = [option for option in task["options"] if option["flags"][0] not in _COMMON_OPTIONS]
    if len(options) < len(task["options"]):
        yield "\nAccepts `--recipe` and `--target`.\n"
    if options:
        yield "\n| option | description | default |\n|---|---|---|\n"
        for option in options:
            flags = " ".join(f"`{flag}`" for flag in option["flags"])
            yield f"| {flags} | {_cell(option['help'])} | {_default(option)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(option: Mapping[str, Any]) -> str:
    if option["required"]:
        return "required"
    return f"`{option['default']}`" if option["default"] not in ("", False, None) else ""


_POLICY, _POLICY_END = "<!-- policy: begin -->", "<!-- policy: end -->"


def write_docs(root: Path) -> list[Path]:
    """Write the generated pages, and return the paths that changed."""
    changed = []
    for path, text in pages(root).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def pages(root: Path) -> dict[Path, str]:
    """Return the text of each generated page."""
    return {
        root / "docs/recipe.md": recipe_reference.page(),
        root / "docs/tasks.md": page(_describe_tasks(root)),
        root / "docs/aws.md": _with_policy(root, (root / "docs/aws.md").read_text(encoding="utf-8")),
    }


def _describe_tasks(root: Path) -> list[dict[str, Any]]:
    """Return every task with its options. tasks.py imports this package, so it runs in a process of its own."""
    script = "import json, tasks; print(json.dumps(tasks.describe_tasks()))"
    tasks: list[dict[str, Any]] = json.loads(process.run([sys.executable, "-c", script], cwd=root).stdout)
    return tasks


def _with_policy(root: Path, text: str) -> str:
    """Insert the output of `iam.policy bake` for the example recipe into a page."""
    scope = PolicyScope("ap-northeast-2", "111122223333", load(root / "golden.toml"))
    policy = json.dumps(task_policies.policy("bake", scope), indent=2)
    before, rest = text.split(_POLICY)
    return f"{before}{_POLICY}\n```json\n{policy}\n```\n{_POLICY_END}{rest.split(_POLICY_END)[1]}"
