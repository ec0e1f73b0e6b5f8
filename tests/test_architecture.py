"""The rules of the architecture that a reader relies on, checked on the code itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TASKS = [ROOT / "tasks.py", *sorted((ROOT / "goldenami/tasks").glob("*.py"))]
GOLDENAMI = sorted({*(ROOT / "goldenami").rglob("*.py")} - {*TASKS})
LOCALCLOUD = sorted((ROOT / "localcloud").rglob("*.py"))
PRODUCT = [*GOLDENAMI, *LOCALCLOUD, *TASKS]

# The packages, lowest first: each may import itself and those before it.
ORDER = [
    *("errors", "text", "model", "recipe", "tools", "iam", "aws", "context", "state"),
    *("infra", "bake", "images", "database", "rollout", "promote", "migrate", "fleet", "rebuild", "cost"),
    *("dev", "tasks"),
]
# The same for the local cloud; `__main__` comes last.
LOCALCLOUD_ORDER = [
    *(
        "errors",
        "credentials",
        "state_dir",
        "machines",
        "storage",
        "core",
        "ec2",
        "elbv2",
        "autoscaling",
        "rds",
        "ssm",
        "s3",
    ),
    *("codebuild", "service_quotas", "server", "control", "__main__"),
]
# Pure code decides and describes: it imports only pure code, so that no plan reads or changes AWS.
PURE_PACKAGES, PURE_STEMS = {"errors", "text", "model", "recipe", "iam"}, ("model", "plan", "report")
# The one module (or package) that imports each third-party library.
DOORS = {
    "boto3": "goldenami.aws",
    "botocore": "goldenami.aws",
    "s3transfer": "goldenami.aws",
    "mypy_boto3": "goldenami.aws",
    "subprocess": "goldenami.tools.process",
    "jinja2": "goldenami.tools.jinja",
    "hcl2": "goldenami.tools.hcl",
    "lark": "goldenami.tools.hcl",
    "invoke": "tasks goldenami.tasks",
    "rich": "goldenami.tools.progress",
    "cyclonedx": "goldenami.tools.sbom",
    "packageurl": "goldenami.tools.sbom",
    "univers": "goldenami.images.vulnerability_plan",
    "urllib.request": "goldenami.tools.http",
    "urllib.error": "goldenami.tools.http",
    "http": "goldenami.tools.http",
    "time": "goldenami.tools.clock",
    "localcloud": "goldenami.tasks localcloud",
}
# Values are made of pydantic; the builder's key is made by cryptography.
ELSEWHERE = {"pydantic", "pydantic_core", "cryptography"}


@cache
def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), path)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever the import stands (in a function, under TYPE_CHECKING)."""
    package = module(path).split(".") if path.name == "__init__.py" else module(path).split(".")[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            found = ".".join([*base, *([node.module] if node.module else [])])
            # `from goldenami.walls import runs` imports goldenami.walls.runs.
            yield from ((node.lineno, f"{found}.{name.name}") for name in node.names)


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def calls(path: Path) -> list[str]:
    return [ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]


def against(paths: list[Path], rule: Callable[[Path], list[str]]) -> list[str]:
    return [f"{module(path)}: {found}" for path in paths for found in rule(path)]


def package(name: str) -> str:
    """goldenami.promote.plan -> promote"""
    return name.split(".")[1]


def ours(path: Path) -> Iterator[tuple[int, str]]:
    """What a file imports of goldenami, but for the root package itself."""
    return ((line, name) for line, name in imports(path) if name.startswith("goldenami."))


def is_pure(name: str) -> bool:
    parts = name.split(".")
    if name.startswith("goldenami.recipe.load"):
        return False
    stems = [part.rpartition("_")[2] for part in parts[2:]]
    return parts[1] in PURE_PACKAGES or any(stem in PURE_STEMS for stem in stems)


def test_packages_import_only_upwards() -> None:
    def rule(path: Path) -> list[str]:
        mine = ORDER.index(package(module(path)))
        return [f"line {line} imports {name}" for line, name in ours(path) if ORDER.index(package(name)) > mine]

    assert against([path for path in PRODUCT if module(path).startswith("goldenami.")], rule) == []


def test_local_cloud_packages_import_only_upwards() -> None:
    def rule(path: Path) -> list[str]:
        own = LOCALCLOUD_ORDER.index(package(module(path)))
        names = [(line, name) for line, name in imports(path) if name.startswith("localcloud.")]
        return [f"line {line} imports {name}" for line, name in names if LOCALCLOUD_ORDER.index(package(name)) > own]

    assert against([path for path in LOCALCLOUD if module(path) != "localcloud"], rule) == []


def test_plans_models_and_reports_do_not_act() -> None:
    def rule(path: Path) -> list[str]:
        if not is_pure(module(path)):
            return []
        context = module(path).endswith("report")
        return [
            f"line {line} imports {name}"
            for line, name in ours(path)
            if not is_pure(name) and not (context and name.startswith("goldenami.context"))
        ]

    assert against([path for path in GOLDENAMI if module(path) != "goldenami"], rule) == []


def test_each_third_party_thing_comes_in_through_its_own_door() -> None:
    def rule(path: Path) -> list[str]:
        found = []
        for line, name in imports(path):
            plain = "mypy_boto3" if name.startswith("mypy_boto3") else name
            door = next((door for thing, door in DOORS.items() if within(plain, thing)), None)
            if door and not any(within(module(path), one) for one in door.split()):
                found.append(f"line {line} imports {name}, which belongs in {door}")
        return found

    assert against([*GOLDENAMI, *TASKS], rule) == []


def test_every_third_party_thing_has_its_place() -> None:
    """A new dependency must be given its door above."""
    known = {*(thing.split(".")[0] for thing in DOORS), *sys.stdlib_module_names, "goldenami", "localcloud", *ELSEWHERE}

    def rule(path: Path) -> list[str]:
        tops = {name.split(".")[0] for _, name in imports(path)}
        return sorted(top for top in tops - known if not top.startswith("mypy_boto3"))

    assert against([*GOLDENAMI, *TASKS], rule) == []


def test_every_module_states_its_job() -> None:
    assert against(PRODUCT, lambda path: [] if ast.get_docstring(tree(path)) else ["has no docstring"]) == []


def test_no_module_is_longer_than_250_lines() -> None:
    def rule(path: Path) -> list[str]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        return [f"has {lines} lines"] if lines > 250 else []

    assert against(PRODUCT, rule) == []


def test_only_the_clock_tells_the_time_and_sleeps() -> None:
    timely = {"sleep", "time.sleep", "time.time", "time.monotonic", "datetime.now", "datetime.utcnow", "datetime.today"}
    paths = [path for path in [*GOLDENAMI, *TASKS] if module(path) != "goldenami.tools.clock"]
    assert against(paths, lambda path: [f"calls {call}()" for call in calls(path) if call in timely]) == []


def test_only_the_shell_starts_programs() -> None:
    starting = ("os.system", "os.popen", "os.exec", "os.spawn", "os.fork", "os.posix_spawn", "pty.spawn")
    found = against([*GOLDENAMI, *TASKS], lambda path: [f"calls {c}()" for c in calls(path) if c.startswith(starting)])
    assert found == []


def test_no_program_is_started_through_a_shell() -> None:
    def rule(path: Path) -> list[str]:
        given = [k for node in ast.walk(tree(path)) if isinstance(node, ast.Call) for k in node.keywords]
        return [f"line {k.value.lineno} has shell=" for k in given if k.arg == "shell"]

    assert against(PRODUCT, rule) == []


def test_the_product_cannot_tell_the_two_targets_apart() -> None:
    """No branch asks which target it is: there is one code path."""

    def asks(node: ast.AST) -> bool:
        if isinstance(node, ast.Constant):
            return node.value in ("local", "aws")
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        return name in ("local", "is_local", "localcloud", "moto")

    def rule(path: Path) -> list[str]:
        tests: list[ast.expr] = []
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
                tests.append(node.test)
            elif isinstance(node, ast.Match):
                tests.append(node.subject)
            elif isinstance(node, ast.comprehension):
                tests += node.ifs
        return [f"line {t.lineno}: if {ast.unparse(t)}" for t in tests if any(asks(n) for n in ast.walk(t))]

    assert against(GOLDENAMI, rule) == []


def test_no_error_passes_in_silence() -> None:
    """`except …: pass` hides what happened; what may be passed over is named in contextlib.suppress."""

    def rule(path: Path) -> list[str]:
        handlers = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ExceptHandler)]
        return [f"line {h.lineno}" for h in handlers if h.type is None or [type(s) for s in h.body] == [ast.Pass]]

    assert against([*GOLDENAMI, *TASKS], rule) == []


def test_no_module_is_called_after_nothing() -> None:
    empty = ("util", "helper", "common", "misc", "manager")
    assert against(PRODUCT, lambda path: [word for word in empty if word in path.stem]) == []
