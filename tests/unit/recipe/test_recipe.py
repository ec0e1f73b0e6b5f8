"""The recipe: which files are accepted, and how their problems are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from goldenami.errors import RecipeError
from goldenami.recipe.load import load
from goldenami.recipe.parse import parse
from tests.support.recipes import AMAZON_LINUX, REMOVED, ROOT, UBUNTU_ARM, data, problems, recipe, text, toml


def test_golden_toml_is_valid_and_local() -> None:
    golden = load(ROOT / "golden.toml")
    assert golden.default_target == "local"
    assert golden.folder == ROOT
    assert golden.image.os.user == "admin"
    assert golden.target().ssh_cidrs == ("127.0.0.0/8",)
    assert golden.instance_type(golden.target("aws")) == "t3.micro"


@pytest.mark.parametrize("changes", [AMAZON_LINUX, UBUNTU_ARM])
def test_recipe_of_another_family_is_valid(changes: dict[str, object]) -> None:
    assert recipe(changes).image.family == changes["image.family"]


def test_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError):
        recipe().image.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t])
def test_recipe_with_crlf_or_byte_order_mark_is_valid(tmp_path: Path, change: object) -> None:
    (tmp_path / "examples/guestbook").mkdir(parents=True)
    for name in ("schema.sql", "go.mod", "distro.mod"):
        (tmp_path / "examples/guestbook" / name).touch()
    path = tmp_path / "golden.toml"
    original = (ROOT / "golden.toml").read_text(encoding="utf-8")
    path.write_bytes(change(original).encode())  # type: ignore[operator]
    assert load(path).model_dump() == load(ROOT / "golden.toml").model_dump()


def test_wrong_keys_are_reported_together() -> None:
    assert problems(
        {
            "image.family": "debian12",
            "image.root_volume.size_gib": 1,
            "runtime.postgresql.version": "15",
            "app.port": 70000,
            "app.prot": 1,
            "app.exec": REMOVED,
            "targets.aws.ssh_cidrs": ["10.0.0.1/8"],
        }
    ) == [
        '[image] family: expected "amazon-linux-2023", "debian-12" or "ubuntu-24.04", got "debian12"; '
        'did you mean "debian-12"?',
        "[image.root_volume] size_gib: expected a number of GiB from 2 to 16384, got 1",
        '[runtime.postgresql] version: expected a major version such as 15, got "15"',
        "[app] exec: expected a command on one line that begins with an absolute path, got nothing",
        "[app] port: expected a number from 1 to 65535, got 70000",
        "[app] prot: unknown key; did you mean port?",
        "[targets.aws] ssh_cidrs, item 1: expected a network such as 203.0.113.7/32, whose bits after the prefix are"
        ' zero, got "10.0.0.1/8"',
    ]


def test_problems_between_keys_are_reported_together() -> None:
    assert problems({"instance.type": "t4g.micro", "tags.Name": "mine"}) == [
        "[instance] type: expected an instance type with the image's architecture x86_64, such as t3.micro,"
        ' got "t4g.micro", which is arm64 (or change [image] architecture)',
        '[tags] Name: expected another name; goldenami sets this tag itself, got "Name"',
    ]


def test_rules_between_keys_are_checked_once_every_key_is_valid() -> None:
    (message,) = problems({"parameters.0.type": "secure", "tags.Name": "mine"})
    assert message.startswith("[[parameters]] number 1, type: expected")


def test_missing_or_wrong_section_is_reported() -> None:
    assert "[database]: expected this section, got nothing" in problems({"database": REMOVED})
    assert "[app]: expected a section, got 3" in problems({"app": 3})
    assert '[[parameters]] number 1: expected a section, got "x"' in problems({"parameters": ["x"]})
    assert problems({"targets.aws.ssh_cidrs": "10.0.0.0/8"})[0].startswith("[targets.aws] ssh_cidrs: expected a list")


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("image.famly", "debian-12", "unknown key; did you mean family?"),
        (
            "app.size_gib",
            8,
            "unknown key here; did you mean [image.root_volume] size_gib or [database.volume] size_gib?",
        ),
        ("zebra", 1, "unknown key; expected one of target, image,"),
        ("targets.aws.regoin", "x", "unknown key; did you mean region?"),
        ("target", "asw", 'did you mean "aws"?'),
    ],
)
def test_misspelt_key_gets_a_hint(key: str, value: object, hint: str) -> None:
    assert any(hint in line for line in problems({key: value})), problems({key: value})


@pytest.mark.parametrize(
    ("bad", "where"),
    [("[app\nname = 1", "line 1"), ('a = "x\n', "line 1"), ("a = 1\na = 2", "line 2"), ("=", "line 1")],
)
def test_toml_error_has_line_and_column(bad: str, where: str) -> None:
    with pytest.raises(RecipeError, match=where) as caught:
        parse(bad)
    assert "column" in str(caught.value)
    assert caught.value.exit_code == 2


def test_unreadable_recipe_is_refused(tmp_path: Path) -> None:
    for path, word in ((tmp_path / "none.toml", "there is no recipe"), (tmp_path, "is a directory")):
        with pytest.raises(RecipeError, match=word):
            load(path)
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(RecipeError, match="not UTF-8 text"):
        load(tmp_path / "latin.toml")


def test_missing_source_or_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.toml"
    path.write_text(text(), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"\[app\] source: expected a directory that exists"):
        load(path)
    (tmp_path / "examples/guestbook").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"\[app\] schema: expected a file in examples/guestbook"):
        load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"app.environment.DB_PASSWORD": "hunter2-secret"},
        {"app.environment.API_TOKEN": "hunter2-secret"},
        {"parameters.0.value": "hunter2-secret"},
        {"app.source": "https://me:hunter2-secret@github.com/x/y.git"},
        {"app.source": "https://hunter2-secret@github.com/x/y.git\u0001"},
        {"app.password": "hunter2-secret"},
        {"database.password": ["hunter2-secret"]},
        {"parameters.0.valeu": "hunter2-secret"},
        {"targets.aws.endpoint_url": "https://me:hunter2-secret@example.com"},
        {"app.environment": "hunter2-secret"},
    ],
)
def test_secret_in_the_recipe_is_refused_and_not_shown(changes: dict[str, object]) -> None:
    messages = problems(changes)
    assert messages
    assert "hunter2" not in "\n".join(messages)


def test_unknown_target_is_refused() -> None:
    with pytest.raises(RecipeError, match="there is no target 'moon'; expected local or aws"):
        recipe().target("moon")


_KEYS = [(section, key) for section, keys in data().items() if isinstance(keys, dict) for key in keys]
_VALUES = st.recursive(
    st.none().map(lambda _: "") | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_KEYS), _VALUES), min_size=1, max_size=3))
def test_any_value_is_accepted_or_explained(edits: list[tuple[tuple[str, str], object]]) -> None:
    changed = data()
    for (section, key), value in edits:
        changed[section][key] = value
    messages: tuple[str, ...] = ()
    try:
        parse("".join(f"{toml(name)} = {toml(value)}\n" for name, value in changed.items()))
    except RecipeError as error:
        messages = error.problems
    assert all(": " in line and len(line) < 600 for line in messages)
