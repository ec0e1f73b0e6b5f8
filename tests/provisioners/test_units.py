"""Tests of the rendered units: systemd accepts them, and values are exact."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from goldenami.bake import model as bake_model, render
from goldenami.model import image
from goldenami.recipe.load import load

ROOT = Path(__file__).resolve().parents[2]


def rendered(folder: Path, recipe_text: str | None = None, layer: image.Layer = "app") -> Path:
    """Return a layer's folder, rendered from golden.toml or a changed copy."""
    path = ROOT / "golden.toml"
    if recipe_text is not None:
        shutil.copytree(ROOT / "examples", folder / "examples")
        path = folder / "golden.toml"
        path.write_text(recipe_text)
    recipe = load(path)
    inputs = bake_model.LayerInputs(
        recipe=recipe,
        target=recipe.target(),
        layer=layer,
        packer_version=(1, 6, 6),
        source_ami="ami-0123456789abcdef0",
        ami_name="guestbook-golden-v1.0",
        run_id="run",
        app_commit="abc",
        region="ap-northeast-2",
    )
    render.render(inputs, folder / "out")
    return folder / "out"


def edited(*changes: tuple[str, str]) -> str:
    text = (ROOT / "golden.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("port", ["8080", "80"])
def test_systemd_accepts_the_units(tmp_path: Path, port: str) -> None:
    files = rendered(tmp_path, edited(("port = 8080", f"port = {port}"))) / "files"
    units = sorted(files.glob("*.service"))
    assert [unit.name for unit in units] == [
        "goldenami-certificate.service",
        "guestbook-database.service",
        "guestbook.service",
    ]
    for unit in units:
        # The programs exist only in the image.
        text = unit.read_text().replace("ExecStart=/", "ExecStart=/bin/true /")
        text = text.replace("Requires=postgresql.service\n", "").replace("User=app", "User=daemon")
        unit.write_text(text)
    argv = ["systemd-analyze", "verify", "--man=no", *map(str, units)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    mine = [
        line for line in done.stderr.splitlines() if str(files) in line or "guestbook" in line or "goldenami" in line
    ]
    assert mine == []


def test_service_unit_contents(tmp_path: Path) -> None:
    lines = (rendered(tmp_path) / "files/guestbook.service").read_text().splitlines()
    for line in (
        "User=app",
        "WorkingDirectory=/opt/guestbook",
        'Environment="USE_AWS_PARAMS=true"',
        'Environment="AWS_REGION=ap-northeast-2"',
        "ExecStart=/opt/guestbook/guestbook",
        "Restart=on-failure",
        "RestartSec=5s",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "WantedBy=multi-user.target",
        "Requires=guestbook-database.service",
    ):
        assert line in lines
    after = next(line for line in lines if line.startswith("After="))
    assert {"postgresql.service", "guestbook-database.service", "network-online.target"} <= set(after[6:].split())


def test_recipe_environment_comes_last_and_is_exact(tmp_path: Path) -> None:
    value = 'it\'s \\\\ a \\"very\\" $x ${y} 100% 비밀\\nline'
    text = edited(('USE_AWS_PARAMS = "true"', f'USE_AWS_PARAMS = "true"\nPORT = "9"\nGREETING = "{value}"'))
    unit = (rendered(tmp_path, text) / "files/guestbook.service").read_text()
    assert unit.index('"PORT=9"') > unit.index('"PORT=8080"')
    assert 'Environment="GREETING=it\'s \\\\ a \\"very\\" $x ${y} 100%% 비밀\\nline"' in unit


def test_units_contain_no_endpoint_and_no_secret(tmp_path: Path) -> None:
    for path in (rendered(tmp_path) / "files").iterdir():
        if path.suffix == ".service":
            assert "AWS_ENDPOINT_URL" not in path.read_text()


@pytest.mark.parametrize("layer", ["base", "app"])
def test_rendered_shell_passes_shellcheck(tmp_path: Path, layer: image.Layer) -> None:
    out = rendered(tmp_path, layer=layer)
    scripts = [*sorted((out / "scripts").glob("*.sh")), out / "recipe.env", out / "files/lib.sh"]
    for script in scripts:
        subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", *map(str, scripts)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_base_layer_is_independent_of_the_application(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = rendered(tmp_path / "one", layer="base")
    two = rendered(tmp_path / "two", edited(("port = 8080", "port = 9090"), ("schema.sql", "")), layer="base")
    assert (one / "recipe.env").read_text() == (two / "recipe.env").read_text()
