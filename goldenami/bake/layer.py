"""Bake one layer: render its folder, run Packer, and complete the AMI."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from goldenami.aws import images
from goldenami.bake import render, render_checks
from goldenami.bake.check_report import Check, Gate, failed_checks, parse
from goldenami.bake.model import LayerInputs, fingerprint
from goldenami.bake.source import Source
from goldenami.context import Context
from goldenami.errors import BuildError, GateError, RenderError
from goldenami.model.image import FAILED, Image, Layer
from goldenami.state.runs import Run
from goldenami.tools import packer, process
from goldenami.tools.clock import poll
from goldenami.tools.packer import BuildOutcome, PackerEvent

GATES: dict[Layer, Gate] = {"base": "base", "app": "image"}
_BUILDER = "amazon-ebs.golden: "  # in every line of the builder's and its provisioners' output


@dataclass(frozen=True)
class BakedLayer:
    """A layer's AMI and the checks that it passed while it was baked."""

    image: Image
    checks: tuple[Check, ...] = ()


def prepare(ctx: Context, inputs: LayerInputs, source: Source, folder: Path) -> None:
    """Render a layer's folder, check it, and install Packer's plugins; nothing is launched.

    Raises:
        RenderError: The rendered HCL or scripts fail a check.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if inputs.layer == "app" and source.archive is not None:
        (folder / "source.tar.gz").write_bytes(source.archive)
    if inputs.layer == "base" and source.dependencies is not None:
        (folder / "dependencies.tar").write_bytes(source.dependencies)
    create_ssh_key(folder)
    render.render(inputs, folder)
    with ThreadPoolExecutor() as pool:  # each of the three takes seconds
        plugins = pool.submit(packer.init, folder, inputs.packer_version, ctx.aws.environment())
        lint = pool.submit(_lint, folder, ctx.build / "linted")
        problems = render_checks.check_attributes(folder) + lint.result()
        if problems:
            reasons = "; ".join(problems)
            raise RenderError(
                f"the rendered folder {folder} failed its checks: {reasons}", state="Nothing was launched."
            )
        plugins.result()


def _lint(folder: Path, cache: Path) -> list[str]:
    """Return shellcheck's findings about the scripts; scripts that passed before, unchanged, are skipped."""
    scripts = [*sorted((folder / "scripts").glob("*.sh")), folder / "recipe.env"]
    markers = {str(p.relative_to(folder)): cache / fingerprint({p.name: p.read_bytes()}) for p in scripts}
    unchecked = {name: marker for name, marker in markers.items() if not marker.exists()}
    if not unchecked or not process.which("shellcheck"):
        return []
    argv = ["shellcheck", "--external-sources", "--format=gcc", *unchecked]
    problems = process.run(argv, cwd=folder, timeout=300).stdout.splitlines()
    if not problems:
        cache.mkdir(parents=True, exist_ok=True)
        for marker in unchecked.values():
            marker.touch()
    return problems


def load_checks(run: Run, layer: Layer) -> list[Check]:
    """Return the checks that a layer passed in a run of this checkout; empty if it was baked elsewhere."""
    return parse(packer.read_log(run.folder / layer), GATES[layer])


def create_ssh_key(folder: Path) -> None:
    """Create an ed25519 key for this build: new OpenSSH servers refuse the RSA keys of old versions of Packer."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = folder / "ssh_key"
    if private.exists():
        return
    key = Ed25519PrivateKey.generate()
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()))
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    (folder / "ssh_key.pub").write_bytes(public + b" goldenami\n")


def delete_ssh_key(folder: Path) -> None:
    """Delete the private key, which nothing needs once the builder is terminated."""
    (folder / "ssh_key").unlink(missing_ok=True)


def bake(
    ctx: Context, inputs: LayerInputs, folder: Path, groups: list[str], environment: Mapping[str, str], lock: int
) -> BakedLayer:
    """Run Packer in a prepared folder.

    Args:
        lock: File descriptor of the bake lock, which Packer inherits.

    Raises:
        GateError: A check inside the image failed.
    """
    layer = inputs.layer
    with ctx.progress.phase(f"bake {layer} layer with Packer"):
        show, variables = partial(_show_event, ctx), {"security_group_ids": groups}
        outcome = packer.build(folder, show, env=environment, variables=variables, keep_open=[lock])
    delete_ssh_key(folder)
    checks = parse(outcome.output, GATES[layer])
    failed = failed_checks(checks)
    # The AMI may exist although Packer failed (its wait timed out, a response was lost) or wrote no manifest.
    ami = packer.artifact(folder) or _find_by_name(ctx, inputs.ami_name)
    if ami and failed:
        images.tag(ctx.aws, [ami], {FAILED: ",".join(check.name for check in failed)[:255]})
    if failed or ami is None:
        raise _failure(inputs, folder, outcome, failed, ami)
    return BakedLayer(finalize(ctx, ami, inputs.tags), tuple(checks))


def finalize(ctx: Context, ami: str, tags: Mapping[str, str]) -> Image:
    """Wait until an AMI is available, complete the tags of it and its snapshots, and require IMDSv2.

    Idempotent. Packer 1.6 tags an AMI only once it is available, so an interrupted run leaves one without tags; and it cannot
    require IMDSv2.
    """
    image = images.wait_available(ctx.aws, ctx.clock, ami)
    images.tag(ctx.aws, [image.id, *image.snapshots], tags)
    if image.imds != "v2.0":
        images.require_imdsv2(ctx.aws, image.id)
    for _ in poll(ctx.clock, timeout=30, every=2):  # EC2 is eventually consistent
        image = images.get(ctx.aws, ami) or image
        if image.imds == "v2.0" and all(image.tags.get(key) == value for key, value in tags.items()):
            break
    return image


def _find_by_name(ctx: Context, name: str) -> str | None:
    family = images.list_family(ctx.aws, ctx.name)
    return next((image.id for image in family if image.name == name and image.alive), None)


def _failure(
    inputs: LayerInputs, folder: Path, outcome: BuildOutcome, failed: list[Check], ami: str | None
) -> GateError | BuildError:
    result = f"{ami} was tagged as failed" if ami else "no AMI was created"
    # Packer validates the folder and the credentials before the builder's first output.
    # (`--> amazon-ebs.golden: …` is Packer's list of errors, at the end.)
    launched = ami or any(line.startswith((f"==> {_BUILDER}", f"    {_BUILDER}")) for line in outcome.output)
    state = f"The builder was terminated; {result}." if launched else "Nothing was launched."
    log = f"less {folder / 'packer.log'}"
    if failed:
        details = "; ".join(f"{c.name} ({c.detail})" if c.detail else c.name for c in failed)
        return GateError(f"the {inputs.layer} layer failed its checks: {details}", state=state, next=log)
    return BuildError(f"Packer could not bake the {inputs.layer} layer: {_cause(outcome)}", state=state, next=log)


def _cause(outcome: BuildOutcome) -> str:
    """Return the last lines of the provisioners' standard error, and Packer's own error message."""
    errors = [line.strip() for text in outcome.errors for line in text.splitlines() if line.strip()]
    guest = [line.removeprefix(f"==> {_BUILDER}") for line in errors if line.startswith(f"==> {_BUILDER}")]
    own = [line for line in errors if not line.startswith(("==>", "-->", "Build ", "Some builds"))]
    last = [line.strip() for line in outcome.output if line.strip()][-1:]
    noise = ("Provisioning step had errors", "debconf: ")
    guest = [line for line in guest if not line.startswith(noise)]
    # What a script stopped with, such as a failing SQL statement, without the log before it.
    begin = max((number for number, line in enumerate(guest) if line.startswith("error: ")), default=len(guest) - 4)
    lines = [*guest[max(begin, 0) :], *own[-1:]] or last or ["no output"]
    return "; ".join(dict.fromkeys(lines))[-800:]


def _show_event(ctx: Context, event: PackerEvent) -> None:
    """Print the headlines of Packer and the provisioners; write everything to the log."""
    for line in event.text.splitlines():
        text = line.removeprefix("==> ").replace(_BUILDER.rstrip(), "", 1).strip()
        if text and (event.kind in ("say", "error") or text.startswith(("==>", "CHECK "))):
            ctx.progress.detail(text)
        elif text:
            ctx.progress.record(text)
