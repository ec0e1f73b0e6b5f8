"""Rendered HCL is read back, held against Packer's blocks and our rules, and against Packer itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from goldenami.bake import render_checks
from goldenami.bake.render import PLUGINS
from goldenami.errors import RenderError
from goldenami.tools import hcl, packer_schema
from goldenami.tools.hcl import Expression
from tests.support.recipes import AMAZON_LINUX, UBUNTU_ARM
from tests.support.rendering import NEW, OLD, inputs, rendered

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    # Where Packer 1.7 and newer have their plugins, if that is what is installed here.
    "PACKER_PLUGIN_PATH": os.environ.get("PACKER_PLUGIN_PATH", str(Path.home() / ".config/packer/plugins")),
    "CHECKPOINT_DISABLE": "1",
    "PACKER_NO_COLOR": "1",
}
PACKER = shutil.which("packer")


def _packer(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["packer", *argv], cwd=cwd, env=ENV, capture_output=True, text=True, timeout=120, check=False)


def _version() -> tuple[int, int, int]:
    told = re.search(r"v(\d+)\.(\d+)\.(\d+)", _packer("version", cwd=Path("/")).stdout) if PACKER else None
    return (int(told[1]), int(told[2]), int(told[3])) if told else (0, 0, 0)


VERSION = _version()
needs_packer = pytest.mark.skipif(VERSION < OLD, reason="needs Packer")

EVERY = [
    pytest.param(changes, layer, version, id=f"{name}-{layer}-{'.'.join(map(str, version))}")
    for name, changes in {
        "debian": {},
        "amazon-linux": AMAZON_LINUX,
        "ubuntu-arm": UBUNTU_ARM,
        "gp2-plain": {"image.root_volume": {"type": "gp2", "encrypted": False}},
        "endpoint": {"targets.local.endpoint_url": "http://127.0.0.1:1", "tags": {"Note": '{{x}} ${y} %{z} " 한글'}},
    }.items()
    for layer in ("base", "app")
    for version in (OLD, NEW, (1, 14, 0))
]


@pytest.mark.parametrize(("changes", "layer", "version"), EVERY)
def test_everything_we_render_passes(
    changes: dict[str, object], layer: str, version: tuple[int, int, int], tmp_path: Path
) -> None:
    folder = rendered(tmp_path, inputs(changes, layer, version))  # type: ignore[arg-type]
    assert render_checks.check_attributes(folder) == []
    if PACKER:
        formatted = _packer("fmt", "-check", "-diff", ".", cwd=folder)
        assert formatted.returncode == 0, formatted.stdout


def _validated(folder: Path) -> str:
    """What the Packer that is installed says against a folder; the test is skipped where it lacks the plugin."""
    done = _packer("validate", ".", cwd=folder)
    said = re.sub(r"\s+", " ", done.stdout + done.stderr)
    if "Missing plugins" in said:
        pytest.skip(f"Packer {'.'.join(map(str, VERSION))} lacks the amazon plugin: packer init")
    return "" if done.returncode == 0 else said


@needs_packer
@pytest.mark.parametrize("layer", ["base", "app"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        AMAZON_LINUX,
        {"tags": {"Note": '{{x}} ${y} %{z} " 한글\\'}},
        {"image.root_volume": {"type": "gp2", "encrypted": False}},
        {"targets.local.endpoint_url": "http://127.0.0.1:1"},
    ],
    ids=["debian", "al", "tags", "gp2-plain", "endpoint"],
)
def test_packer_validates_it_without_a_cloud(changes: dict[str, object], layer: str, tmp_path: Path) -> None:
    folder = rendered(tmp_path, inputs(changes, layer, VERSION))  # type: ignore[arg-type]
    (folder / "ssh_key").unlink()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "ssh_key")], input=b"y\n", check=True
    )
    assert _validated(folder) == ""


@needs_packer
def test_packer_agrees_with_our_table(tmp_path: Path) -> None:
    """Packer names each attribute that it does not know: 1.6 exactly those that the table gives to 1.7 only, 1.7 none."""
    old, new = packer_schema.accepted_attributes("builder", "1.6"), packer_schema.accepted_attributes("builder", "1.7")
    lines = [f"  {name} = null" for name, kind in new.items() if not kind.startswith("block")]
    lines += [f"  {name} {{}}" for name, kind in new.items() if kind.startswith("block")]
    lines += ["  made_up = null"]  # so that we see it look
    text = 'source "amazon-ebs" "x" {\n' + "\n".join(lines) + '\n}\nbuild {\n  sources = ["source.amazon-ebs.x"]\n}\n'
    (tmp_path / "all.pkr.hcl").write_text(text)
    if VERSION >= PLUGINS:
        ours = rendered(tmp_path / "ours", inputs({}, "base", VERSION))
        (ours / "plugins.pkr.hcl").rename(tmp_path / "plugins.pkr.hcl")
    unknown = set(
        re.findall(
            r'An argument named "(\w+)" is not expected|Blocks of type "(\w+)" are not expected', _validated(tmp_path)
        )
    )
    assert {a or b for a, b in unknown} == {"made_up"} | (set(new) - set(old) if VERSION < PLUGINS else set())


def _changed(folder: Path, old: str, new: str, name: str = "golden.pkr.hcl") -> list[str]:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return render_checks.check_attributes(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('http_tokens                 = "required"', 'http_tokens = "optional"', "so that the builder requires IMDSv2"),
        ('imds_support = "v2.0"', "", "so that instances of the AMI require IMDSv2"),
        ("    encrypted = var.encrypted\n", "", "the root volume must be encrypted"),
        ("    encrypted = var.encrypted\n", "    encrypted = false\n", "the root volume must be encrypted"),
        ("delete_on_termination = true", "delete_on_termination = false", "must be deleted on termination"),
        ("  ami_name  ", '  ami_users = ["123456789012"]\n  ami_name  ', "ami_users would share the image"),
        ("  ami_name  ", '  ami_groups = ["all"]\n  ami_name  ', "ami_groups would share the image"),
        ("  ami_name  ", "  force_deregister = true\n  ami_name  ", "force_deregister would delete images"),
        ("  ami_name  ", '  secret_key = "x"\n  ami_name  ', "secret_key must come from the environment"),
        ('post-processor "manifest"', 'post-processor "shell-local"', "a manifest post-processor must write"),
        ("  snapshot_tags   = var.tags\n", "", "snapshot_tags must be set"),
        ("  ami_name  ", "  ami_nmae = 1\n  ami_name  ", "Packer 1.7 has no attribute ami_nmae"),
        ("  ami_name  ", '  ena_support = "yes"\n  ami_name  ', "ena_support must be a bool"),
        ("= var.region\n", "= var.tags\n", "region is a string, but the variable tags a map(string)"),
        ("= var.region\n", "= var.regoin\n", "names the variable regoin, which is not declared"),
        ("  aws_polling {", "  aws_poling {", "Packer 1.7 has no block aws_poling"),
        ('"scripts/20-source.sh"', '"scripts/20-sauce.sh"', "scripts/20-sauce.sh is used in the HCL but is not"),
        ('direction   = "download"', 'direction   = "upload"', "the report must be downloaded before the clean-up"),
        ('source "amazon-ebs"', 'source "amazon-chroot"', "there must be exactly one source, an amazon-ebs"),
        ("= var.source_ami", '= "latest"', "source_ami must be an AMI id, not 'latest'"),
    ],
)
def test_what_must_not_be_is_found(old: str, new: str, words: str, tmp_path: Path) -> None:
    found = _changed(rendered(tmp_path, inputs(packer_version=NEW)), old, new)
    assert any(words in problem for problem in found), found


def test_an_old_packer_needs_the_mark_of_what_comes_after(tmp_path: Path) -> None:
    found = _changed(rendered(tmp_path, inputs()), "# IMDSv2: enforced after", "# IMDSv2: later")
    assert found == ["IMDSv2 is neither required nor marked to be enforced after the build"]


def test_what_only_a_new_packer_knows_is_refused_for_an_old_one(tmp_path: Path) -> None:
    found = _changed(rendered(tmp_path, inputs()), "  ami_name  ", '  imds_support = "v2.0"\n  ami_name  ')
    assert found == ["builder: Packer 1.6 has no attribute imds_support"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tags": {"Name": "x"}}, "tags lacks Environment, Created, Go, PostgreSQL"),
        ({"volume_size": "8"}, "the variable volume_size is declared as number, which its value is not"),
        ({"other": 1}, "the variable other has a value but is not declared"),
        ({"encrypted": False}, "the root volume must be encrypted"),
        ({"run_tags": {f"k{n}": "v" for n in range(51)}}, "EC2 allows 50"),
    ],
)
def test_values_are_checked_too(change: dict[str, object], words: str, tmp_path: Path) -> None:
    folder = rendered(tmp_path, inputs())
    path = folder / "golden.auto.pkrvars.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    assert any(words in problem for problem in render_checks.check_attributes(folder))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("AKIA" + "A1" * 8, "an AWS access key"),
        ("-----BEGIN OPENSSH " + "PRIVATE KEY-----", "a private key"),
        ("aws_secret_access_key = " + "x" * 40, "an AWS secret"),
        ("https://me:pw@example.com/x.git", "a password in a URL"),
        ("ghp_" + "a" * 36, "a GitHub token"),
    ],
)
@pytest.mark.parametrize("name", ["recipe.env", "files/guestbook.service", "scripts/20-source.sh"])
def test_a_secret_is_found_wherever_it_was_rendered_and_not_told(
    text: str, what: str, name: str, tmp_path: Path
) -> None:
    folder = rendered(tmp_path, inputs())
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(f"# {text}\n")
    assert render_checks.check_attributes(folder) == [f"{name} seems to contain {what}"]


def test_the_key_of_the_run_is_no_leak(tmp_path: Path) -> None:
    folder = rendered(tmp_path, inputs())
    (folder / "ssh_key").write_text("-----BEGIN OPENSSH " + "PRIVATE KEY-----")
    assert render_checks.check_attributes(folder) == []


def test_what_is_no_hcl_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="not valid HCL at line 2"):
        hcl.parse("a = 1\nb = = 2\n")
    folder = rendered(tmp_path, inputs())
    (folder / "golden.pkr.hcl").write_text("source {")
    with pytest.raises(RenderError, match=r"golden\.pkr\.hcl: not valid HCL"):
        render_checks.check_attributes(folder)


def test_expressions_are_no_literals() -> None:
    (block,) = hcl.blocks(
        'source "a" "b" {\n  x = var.tags\n  y = "a ${var.z}"\n  z = "$${lit}"\n  w {\n    v = [1, true]\n  }\n}\n'
    )
    assert block.labels == ("a", "b")
    assert block.attributes["x"] == Expression("var.tags")
    assert block.attributes["x"].variable == "tags"
    assert block.value("x", {"tags": 5}) == 5
    assert isinstance(block.attributes["y"], Expression)
    assert block.attributes["z"] == "${lit}"
    assert block.inner("w")[0].attributes == {"v": [1, True]}


def test_the_table_has_only_kinds_that_are_known() -> None:
    for block in (
        "builder",
        "launch_block_device_mappings",
        "metadata_options",
        "aws_polling",
        "shell",
        "file",
        "manifest",
    ):
        for kind in packer_schema.accepted_attributes(block, "1.7").values():
            assert re.fullmatch(r"string|bool|number|blocks?|(list|map)\((string|number|list\(string\))\)", kind), kind
