"""Values come through exactly: HCL is parsed back, bash is run, units are read by systemd's own rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st

from goldenami.errors import RenderError
from goldenami.tools import hcl, quoting

NASTY = [
    "",
    " ",
    "quotes \" and ' and `",
    "$HOME ${HOME} $(id) $$ $${x} $$${y} ${",
    "%{if true}x%{endif} %%{ %%%{ 100% %h %%",
    "back\\slash \\n \\\\ \\",
    "line\nbreaks\r\nand\ttabs\n",
    "안녕하세요, 골든 이미지 🎯 é",
    "; rm -rf / & | > < * ? [a-z] ~ # !",
    "{{ .Vars }} {{`x`}} {{{ }} <{ x }> <% y %> <# z #>",
    "<<EOT\nx\nEOT\n",
    "-n",
    "\x7f\x01\x1b[31m\x08\x0c",
    "𝒳\u2028\u0085\ufeff",
]

# Any text that UTF-8 can write and that has no NUL, with the characters that mean something more often than the rest.
TEXTS = st.text(
    st.sampled_from("$%{}\"'\\`\n\t #;&|<>()*?~!=-") | st.characters(codec="utf-8", exclude_characters="\0"),
    max_size=40,
) | st.sampled_from(NASTY)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(NASTY)
def test_hcl_reads_back_what_was_written(values: list[str]) -> None:
    text = f"locals {{\n  single = {quoting.hcl(values[0])}\n  list = {quoting.hcl(values)}\n}}\n"
    (block,) = hcl.blocks(text)
    assert block.attributes["single"] == values[0]
    assert block.attributes["list"] == values


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(TEXTS, TEXTS, max_size=5))
def test_hcl_reads_back_maps(values: dict[str, str]) -> None:
    (block,) = hcl.blocks(f"locals {{\n  map = {quoting.hcl(values)}\n}}\n")
    assert block.attributes["map"] == values


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (8080, "8080"), ([], "[]"), ([1], "[1]")]
)
def test_hcl_of_other_values(value: object, text: str) -> None:
    assert quoting.hcl(value) == text  # type: ignore[arg-type]


@pytest.mark.skipif(not shutil.which("packer"), reason="needs packer")
def test_packer_itself_reads_hcl_as_python_hcl2_does(tmp_path: Path) -> None:
    # Packer shows variables in HCL's own form; what python-hcl2 reads from that must be what we wrote.
    values = {f"v{n}": value for n, value in enumerate(NASTY)}
    (tmp_path / "test.pkr.hcl").write_text(
        "".join(
            f"variable {quoting.hcl(k)} {{\n  type = string\n  default = {quoting.hcl(v)}\n}}\n"
            for k, v in values.items()
        )
        + 'variable "json" {\n  type = map(string)\n}\n',
        encoding="utf-8",
    )
    (tmp_path / "x.auto.pkrvars.json").write_text(json.dumps({"json": values}, ensure_ascii=False), encoding="utf-8")
    argv = ["packer", "inspect", "."]
    run = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, env=_packer_env(), check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    said = run.stdout
    for name, value in values.items():
        shown = re.search(rf'^var\.{name}: (".*")$', said, re.M)
        assert shown, name
        assert _go(shown[1]) == value, name


def _packer_env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}


def _go(quoted: str) -> str:
    return str(
        json.loads(re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", quoted.replace("\\a", "\\u0007").replace("\\v", "\\u000b")))
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=60))
@example(NASTY)
def test_bash_reads_back_what_was_written(values: list[str]) -> None:
    script = "".join(f"V{n}={quoting.sh(value)}\n" for n, value in enumerate(values))
    script += f"ALL={quoting.sh(values)}\n"
    script += "printf '%s\\0' " + " ".join(f'"$V{n}"' for n in range(len(values))) + ' "${ALL[@]}"\n'
    run = subprocess.run(["bash", "--norc"], input=script.encode(), capture_output=True, timeout=30, check=True)
    assert run.stderr == b""
    assert run.stdout.decode().split("\0")[:-1] == values * 2


def test_bash_cannot_carry_nul() -> None:
    with pytest.raises(RenderError, match="NUL"):
        quoting.sh("a\0b")


SYSTEMD_TEXTS = st.text(
    st.sampled_from("$%{}\"'\\`\n\t #;=") | st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40
)


@settings(max_examples=200, deadline=None)
@given(SYSTEMD_TEXTS)
def test_systemd_reads_back_what_was_written(value: str) -> None:
    quoted = quoting.unit_env(("NAME", value))
    assert "\n" not in quoted
    assert not quoted.endswith("\\")
    assert _systemd(quoted) == f"NAME={value}"


def _systemd(line: str) -> str:
    """A double-quoted word by systemd.syntax(7): C escapes, then specifiers, of which only %% may be left."""
    assert line[0] == line[-1] == '"'
    body = re.sub(r'\\(["\\nt])', lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), line[1:-1])
    assert re.fullmatch(r'(?s)(?:[^"\\]|\\["\\nt])*', line[1:-1])
    assert re.fullmatch(r"(?s)(?:[^%]|%%)*", body)
    return body.replace("%%", "%")


@pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="needs systemd")
def test_systemd_itself_reads_what_was_written() -> None:
    values = [v for v in NASTY if not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u0085]", v)]
    lines = "".join(f"Environment={quoting.unit_env((f'V{n}', value))}\n" for n, value in enumerate(values))
    command = quoting.unit("/bin/echo 100% %h")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "golden.service").write_text(f"[Service]\n{lines}ExecStart={command}\n", encoding="utf-8")
        for target in ("basic", "sysinit", "shutdown", "default"):
            (folder / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        argv = ["/lib/systemd/systemd", "--user", "--test", "--unit=golden.service", "--log-target=console"]
        if os.geteuid() == 0:  # it does not test for root
            os.chown(folder, 65534, 65534)
            argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
        env = {
            "SYSTEMD_UNIT_PATH": name,
            "XDG_RUNTIME_DIR": name,
            "HOME": name,
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
        }
        run = subprocess.run(argv, env=env, capture_output=True, timeout=60, check=False)
    said = (run.stdout + run.stderr).decode()
    for n, value in enumerate(values):
        assert f"Environment: V{n}={value}\n" in said, said
    assert "Command Line: /bin/echo 100% %h\n" in said


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "ends in \\", "a\0"])
def test_a_unit_setting_is_one_line(value: str) -> None:
    with pytest.raises(RenderError):
        quoting.unit(value)


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_packers_own_templates_leave_text_alone(value: str) -> None:
    # What Packer's template engine does with it: {{"{{"}} becomes {{, and nothing else is a template.
    written = quoting.packer_text(value)
    assert re.sub(r'\{\{"\{\{"\}\}', "{{", written) == value
    assert "{{" not in written.replace('{{"{{"}}', "")
