"""What is rendered: snapshots of whole folders, exact values, and a fingerprint of what matters only."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from goldenami.bake import render_checks
from goldenami.bake.inspect import facts_script
from goldenami.bake.model import LayerInputs
from goldenami.bake.render import fingerprint_inputs, packer_variables, render
from goldenami.bake.verify import verify_script
from goldenami.errors import RenderError
from goldenami.tools import quoting
from goldenami.tools.jinja import ROOT
from tests.support.recipes import AMAZON_LINUX, UBUNTU_ARM, recipe
from tests.support.rendering import NEW, OLD, inputs, rendered

SNAPSHOTS = Path(__file__).parent / "snapshots"

# What is rendered, as against copied; a copied script is its own snapshot.
RENDERED = (
    "golden.pkr.hcl",
    "golden.auto.pkrvars.json",
    "README.txt",
    "recipe.env",
    "files/*.service",
    "plugins.pkr.hcl",
)

CASES = {
    "local-debian-12-packer-1.6.6": [
        inputs(layer="base", endpoint_url="http://127.1.1.1:4566", instance_profile="builder"),
        inputs(layer="app", endpoint_url="http://127.1.1.1:4566", instance_profile="builder"),
    ],
    "aws-amazon-linux-2023-packer-1.11": [inputs(AMAZON_LINUX, "base", NEW), inputs(AMAZON_LINUX, "app", NEW)],
    "aws-ubuntu-24.04-arm64-packer-1.14": [
        inputs(UBUNTU_ARM, "base", (1, 14, 0)),
        inputs(UBUNTU_ARM, "app", (1, 14, 0)),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_snapshots(case: str, tmp_path: Path) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to write them anew, then read the diff."""
    found = {}
    for each in CASES[case]:
        folder = rendered(tmp_path / each.layer, each)
        for pattern in RENDERED:
            for path in folder.glob(pattern):
                found[f"{each.layer}/{path.relative_to(folder)}"] = path.read_text(encoding="utf-8")
    kept = SNAPSHOTS / case
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        shutil.rmtree(kept, ignore_errors=True)
        for name, text in found.items():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (kept / name).write_text(text, encoding="utf-8")
    expected = {str(p.relative_to(kept)): p.read_text(encoding="utf-8") for p in kept.rglob("*") if p.is_file()}
    assert sorted(found) == sorted(expected)
    for name, text in found.items():
        assert text == expected[name], name


def test_a_folder_is_whole_and_its_scripts_are_in_order(tmp_path: Path) -> None:
    folder = rendered(tmp_path, inputs())
    scripts = sorted(path.name for path in (folder / "scripts").iterdir())
    text = (folder / "golden.pkr.hcl").read_text(encoding="utf-8")
    positions = [text.index(f'"scripts/{name}"') for name in scripts]
    assert positions == sorted(positions)
    assert (folder / "files/guestbook.service").exists()
    assert os.access(folder / "files/init-database", os.X_OK)


@pytest.mark.parametrize(("version", "endpoint", "told"), [(NEW, True, True), (NEW, False, False), (OLD, True, False)])
def test_by_hand_a_plugin_is_given_the_endpoint(
    tmp_path: Path, version: tuple[int, int, int], endpoint: bool, told: bool
) -> None:
    changes = {"targets.local.endpoint_url": "http://127.0.0.1:1"} if endpoint else {}
    folder = rendered(tmp_path, inputs(changes, "base", version))
    assert ("export AWS_ENDPOINT_URL=$(jq -r .endpoint_url" in (folder / "README.txt").read_text()) is told


def test_what_an_earlier_rendering_left_goes(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/99-old.sh").touch()
    (tmp_path / "old.pkr.hcl").touch()
    paths = render(inputs(), tmp_path)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(paths) == sorted(kept)


TRICKY = 'it\'s "$HOME" ${HOME} `id` %h %% \\ {{.X}} <{ y }> 안녕; rm -rf /\nsecond # line'


def test_values_reach_the_scripts_exactly(tmp_path: Path) -> None:
    folder = rendered(tmp_path, inputs({"app.build": TRICKY}))
    script = (
        f'set -euo pipefail\nsource {folder}/recipe.env\nprintf "%s\\0" "$APP_BUILD" "$SERVICE" "${{PARAMETERS[@]}}"'
    )
    run = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=30)
    assert run.stdout.decode().split("\0")[:-1] == [TRICKY, "guestbook", "/guestbook/production/db/password"]


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("$%{}\"\\`'"), max_size=60))
def test_tags_reach_packer_exactly(value: str) -> None:
    each = inputs({"tags": {"Note": value}})
    written = json.loads(json.dumps(packer_variables(each)))["tags"]["Note"]
    assert written.replace('{{"{{"}}', "{{") == value


_TEXT = st.text(
    st.sampled_from("$%{}\"'\\`;#<>|& ") | st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30
)


@settings(max_examples=20, deadline=None)
@given(build=_TEXT.filter(bool), greeting=_TEXT, tag=_TEXT)
def test_whatever_the_recipe_says_the_folder_is_sound(build: str, greeting: str, tag: str) -> None:
    changes = {"app.build": build, "app.environment": {"GREETING": greeting}, "tags": {"Note": tag}}
    with tempfile.TemporaryDirectory() as name:
        folder = rendered(Path(name), inputs(changes))
        assert render_checks.check_attributes(folder) == []
        unit = (folder / "files/guestbook.service").read_text(encoding="utf-8").split("\n")
        assert f"Environment={quoting.unit_env(('GREETING', greeting))}" in unit
        script = f'set -euo pipefail; source {folder}/recipe.env; printf %s "$APP_BUILD"'
        run = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=30)
    assert run.stdout.decode() == build


@pytest.mark.parametrize("bad", [(1, 6, 6), (1, 7, 0)])
def test_the_world_is_never_let_in(bad: tuple[int, int, int], tmp_path: Path) -> None:
    # Packer's own default for a temporary security group is 0.0.0.0/0.
    folder = rendered(tmp_path, inputs(AMAZON_LINUX, "app", bad))
    text = (folder / "golden.pkr.hcl").read_text(encoding="utf-8")
    values = json.loads((folder / "golden.auto.pkrvars.json").read_text(encoding="utf-8"))
    if bad < (1, 7, 0):
        assert "temporary_security_group_source_cidrs = var.ssh_cidrs" in text
        assert values["ssh_cidrs"] == ["127.0.0.1/32"]
    else:
        assert "temporary_security_group_source_public_ip = true" in text


def test_no_key_profile_or_endpoint_in_what_does_not_need_it(tmp_path: Path) -> None:
    text = (rendered(tmp_path, inputs()) / "golden.pkr.hcl").read_text(encoding="utf-8")
    for word in ("custom_endpoint", "kms_key_id", "iam_instance_profile", "subnet_id", "profile "):
        assert word not in text


def test_verify_script_carries_the_nonce() -> None:
    text = verify_script(recipe(), "abc123")
    assert text.startswith("#!/bin/bash")
    assert "nonce=abc123" in text
    assert subprocess.run(["bash", "-n"], input=text.encode(), check=False).returncode == 0


def test_the_script_that_looks_inside_is_whole_and_small_enough_for_user_data() -> None:
    text = facts_script(recipe(), "abc123", "app", "it's $HOME")
    assert "GOLDEN-INVENTORY abc123 BEGIN" in text
    assert len(text) < 16 * 1024
    assert subprocess.run(["bash", "-n"], input=text.encode(), check=False).returncode == 0
    inner = text.partition("<<'GOLDEN_FACTS'\n")[2].rpartition("\nGOLDEN_FACTS\n")[0]
    assert subprocess.run(["bash", "-n"], input=inner.encode(), check=False).returncode == 0


@pytest.mark.parametrize(
    ("template", "words"),
    [("<{ nothing }>", "'nothing' is undefined"), ("<% if %>", "line 1"), ("<% for x %>", "line 1")],
)
def test_a_broken_template_is_told_in_a_sentence(template: str, words: str, tmp_path: Path) -> None:
    for name in ("templates", "provisioners", "packer", "systemd"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "templates/recipe.env.j2").write_text(template)
    with pytest.raises(RenderError, match=words) as caught:
        render(inputs(), tmp_path / "out", tmp_path)
    assert "templates/recipe.env.j2" in str(caught.value)


# --- the fingerprint --------------------------------------------------------------------------------------------------


def _prints(given: LayerInputs) -> dict[str, bytes]:
    return fingerprint_inputs(given.recipe, given.layer, given.source_ami, given.app_commit, given.target)


def test_same_inputs_same_bytes() -> None:
    assert _prints(inputs()) == _prints(inputs())
    assert list(_prints(inputs())) == sorted(_prints(inputs()))


@pytest.mark.parametrize("layer", ["base", "app"])
@pytest.mark.parametrize(
    "others",
    [
        {"run_id": "other"},
        {"ami_name": "other"},
        {"version": "v9.9"},
        {"endpoint_url": "http://127.9.9.9:1"},
        {"packer_version": NEW},
        {"tags": {}},
        {"instance_profile": "other"},
    ],
    ids=str,
)
def test_what_changes_from_run_to_run_is_not_in_it(layer: str, others: dict[str, object]) -> None:
    usual = inputs(layer=layer)  # type: ignore[arg-type]
    assert _prints(dataclasses.replace(usual, **others)) == _prints(usual)  # type: ignore[arg-type]


_OUTSIDE = [
    {"targets.local.instance_type": "t3.large"},
    {"targets.local.ssh_cidrs": ["10.0.0.0/8"]},
    {"image.version_policy": "month"},
    {"instance.type": "t3.large"},
]
_APP_ONLY = [
    {"app.build": "make"},
    {"app.exec": "/opt/guestbook/other"},
    {"app.port": 9090},
    {"app.health": "/healthz"},
    {"app.schema": ""},
    {"app.environment": {"A": "b"}},
    {"database.name": "other"},
    {"database.user": "other"},
    {"parameters.0.name": "/other", "database.password_parameter": "/other"},
    {"tags": {"Team": "other"}},
    {"image.environment": "staging"},
    {"targets.local.region": "us-east-1"},
]
_BOTH = [
    {"image.family": "ubuntu-24.04", "runtime.go.version": "1.22", "runtime.postgresql.version": 16},
    {"image.root_volume.size_gib": 9},
    {"image.root_volume.encrypted": False},
    {"runtime.packages": ["golang-github-lib-pq-dev", "tree"]},
    {"app.user": "other"},
    {"app.directory": "/srv/guestbook"},
    {"targets.local.kms_key_id": "alias/golden"},
]


@pytest.mark.parametrize("changes", _OUTSIDE, ids=str)
def test_what_is_not_in_the_image_changes_neither_layer(changes: dict[str, object]) -> None:
    for layer in ("base", "app"):
        assert _prints(inputs(changes, layer)) == _prints(inputs(layer=layer))  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", _APP_ONLY, ids=str)
def test_the_application_changes_its_own_layer_only(changes: dict[str, object]) -> None:
    assert _prints(inputs(changes, "base")) == _prints(inputs(layer="base"))
    assert _prints(inputs(changes, "app")) != _prints(inputs(layer="app"))


@pytest.mark.parametrize("changes", _BOTH, ids=str)
def test_what_both_layers_rest_on_changes_both(changes: dict[str, object]) -> None:
    assert _prints(inputs(changes, "base")) != _prints(inputs(layer="base"))
    assert _prints(inputs(changes, "app")) != _prints(inputs(layer="app"))


def test_the_commit_and_the_source_ami_are_in_it() -> None:
    usual = inputs()
    assert _prints(dataclasses.replace(usual, app_commit="other")) != _prints(usual)
    assert _prints(dataclasses.replace(usual, source_ami="ami-00000000")) != _prints(usual)
    base = inputs(layer="base")
    assert _prints(dataclasses.replace(base, app_commit="other")) == _prints(base)


def test_what_the_application_depends_on_is_the_base_layer_s() -> None:
    def prints(layer: str, dependencies: bytes | None) -> dict[str, bytes]:
        given = inputs(layer=layer)  # type: ignore[arg-type]
        return fingerprint_inputs(given.recipe, given.layer, "ami-1", target=given.target, dependencies=dependencies)

    assert prints("base", b"one") != prints("base", b"other") != prints("base", None)
    assert prints("app", b"one") == prints("app", b"other") == prints("app", None)


def test_every_rendered_file_of_the_guest_is_in_it(tmp_path: Path) -> None:
    folder = rendered(tmp_path, inputs())
    guest = {p.relative_to(folder).as_posix() for n in ("files", "scripts") for p in (folder / n).iterdir()}
    assert guest | {"recipe.env"} <= set(_prints(inputs()))
    assert OLD < NEW
