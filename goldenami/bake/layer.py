"""One layer: render its folder, let Packer bake it, and see to what Packer cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
_BUILDER = "amazon-ebs.golden: "  # stands in every line that the builder or its guest says


@dataclass(frozen=True)
class BakedLayer:
    """A layer's AMI and the checks that it passed while it was baked."""

    image: Image
    checks: tuple[Check, ...] = ()


def prepare(ctx: Context, inputs: LayerInputs, source: Source, folder: Path) -> None:
    """Write a layer's folder, hold it against our checks, and have Packer's plugins at hand; nothing is launched.

    Raises:
        RenderError: The rendered HCL or scripts do not pass.
        BuildError: Packer cannot get its plugins.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if inputs.layer == "app" and source.archive is not None:
        (folder / "source.tar.gz").write_bytes(source.archive)
    if inputs.layer == "base" and source.dependencies is not None:
        (folder / "dependencies.tar").write_bytes(source.dependencies)
    create_ssh_key(folder)
    render.render(inputs, folder)
    with ThreadPoolExecutor() as pool:  # none of the three needs another, and each takes a while
        plugins = pool.submit(packer.init, folder, inputs.packer_version, ctx.aws.environment())
        lint = pool.submit(_lint, folder, ctx.build / "linted")
        problems = render_checks.check_attributes(folder) + lint.result()
        if problems:
            raise RenderError(
                f"what was rendered to {folder} does not pass its checks: " + "; ".join(problems),
                state="Nothing was launched.",
            )
        plugins.result()


def _lint(folder: Path, known: Path) -> list[str]:
    """What shellcheck says of the scripts; those that it passed once, as they are, are not asked about again."""
    scripts = [*sorted((folder / "scripts").glob("*.sh")), folder / "recipe.env"]
    seals = {str(p.relative_to(folder)): known / fingerprint({p.name: p.read_bytes()}) for p in scripts}
    new = {name: seal for name, seal in seals.items() if not seal.exists()}
    if not new or not process.which("shellcheck"):
        return []
    argv = ["shellcheck", "--external-sources", "--format=gcc", *new]
    problems = process.run(argv, cwd=folder, timeout=300).stdout.splitlines()
    if not problems:
        known.mkdir(parents=True, exist_ok=True)
        for seal in new.values():
            seal.touch()
    return problems


def load_checks(run: Run, layer: Layer) -> list[Check]:
    """The checks that a layer passed in an earlier run of this checkout; none where it was baked elsewhere."""
    return parse(packer.read_log(run.folder / layer), GATES[layer])


def create_ssh_key(folder: Path) -> None:
    """An ed25519 key for this build alone: new OpenSSH servers refuse the RSA keys that old Packers make."""
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
    """Remove the private key once its machine is gone."""
    (folder / "ssh_key").unlink(missing_ok=True)


def bake(
    ctx: Context,
    inputs: LayerInputs,
    folder: Path,
    groups: list[str],
    environment: Mapping[str, str],
    lock: int,
) -> BakedLayer:
    """Let Packer bake a prepared folder.

    Args:
        shop: Where.
        inputs: What was rendered.
        folder: Where it was rendered to.
        groups: The builder's security groups.
        environment: AWS credentials for Packer.
        lock: The bake lock, which Packer inherits.

    Raises:
        GateError: A check inside the image failed; there is no AMI.
        BuildError: Anything else failed; there is no AMI.
    """
    layer = inputs.layer
    with ctx.progress.phase(f"bake {layer} layer with Packer"):
        outcome = packer.build(
            folder,
            lambda event: _show_event(ctx, event),
            env=environment,
            variables={"security_group_ids": groups},
            keep_open=[lock],
        )
    delete_ssh_key(folder)
    checks = parse(outcome.output, GATES[layer])
    # The AMI may be there although Packer failed (its wait ran out, a reply was lost) or could not write its manifest.
    made = packer.artifact(folder) or _find_by_name(ctx, inputs.ami_name)
    if made and failed_checks(checks):
        images.tag(ctx.aws, [made], {FAILED: ",".join(c.name for c in failed_checks(checks))[:255]})
    if failed_checks(checks) or made is None:
        raise _failed(inputs, folder, outcome, checks, made)
    return BakedLayer(finalize(ctx, made, inputs.tags), tuple(checks))


def finalize(ctx: Context, ami: str, tags: Mapping[str, str]) -> Image:
    """See an AMI through: wait for it, complete its tags and its snapshots', and require IMDSv2.

    Safe to repeat, and the same for an AMI that an interrupted run left: Packer 1.6 tags only after the wait, and
    cannot say that an AMI requires IMDSv2, so both are made sure of here.
    """
    image = images.wait_available(ctx.aws, ctx.clock, ami)
    images.tag(ctx.aws, [image.id, *image.snapshots], tags)
    if image.imds != "v2.0":
        images.require_imdsv2(ctx.aws, image.id)
    for _ in poll(ctx.clock, timeout=30, every=2):  # EC2 shows a change only after a while
        image = images.get(ctx.aws, ami) or image
        if image.imds == "v2.0" and all(image.tags.get(key) == value for key, value in tags.items()):
            break
    return image


def _find_by_name(ctx: Context, name: str) -> str | None:
    """An AMI of this name that exists, whatever Packer said."""
    found = [i for i in images.list_family(ctx.aws, ctx.name) if i.name == name and i.alive]
    return found[0].id if found else None


def _failed(
    inputs: LayerInputs, folder: Path, outcome: BuildOutcome, checks: list[Check], made: str | None
) -> GateError | BuildError:
    left = f"{made} is marked failed" if made else "there is no AMI"
    # Packer checks the folder and the credentials before it asks for anything else, and the builder does not speak before
    # that. (`--> amazon-ebs.golden: …` is Packer's list of what went wrong, at the end.)
    began = made or any(line.startswith((f"==> {_BUILDER}", f"    {_BUILDER}")) for line in outcome.output)
    state = f"The builder was terminated; {left}." if began else "Nothing was launched."
    log = f"less {folder / 'packer.log'}"
    bad = failed_checks(checks)
    if bad:
        told = "; ".join(f"{c.name} ({c.detail})" if c.detail else c.name for c in bad)
        return GateError(f"the {inputs.layer} layer did not pass its checks: {told}", state=state, next=log)
    return BuildError(f"Packer could not bake the {inputs.layer} layer: {_build_error(outcome)}", state=state, next=log)


def _build_error(outcome: BuildOutcome) -> str:
    """Packer's own words about a failure, after the last that the guest wrote to its standard error."""
    errors = [line.strip() for text in outcome.errors for line in text.splitlines() if line.strip()]
    guest = [line.removeprefix(f"==> {_BUILDER}") for line in errors if line.startswith(f"==> {_BUILDER}")]
    own = [line for line in errors if not line.startswith(("==>", "-->", "Build ", "Some builds"))]
    last = [line.strip() for line in outcome.output if line.strip()][-1:]
    noise = ("Provisioning step had errors", "debconf: ")
    words = [*[line for line in guest if not line.startswith(noise)][-4:], *own[-1:]] or last or ["it said nothing"]
    return "; ".join(dict.fromkeys(words))[-800:]


def _show_event(ctx: Context, event: PackerEvent) -> None:
    """What Packer and the guest are doing: their headlines on the screen, everything in the log."""
    for line in event.text.splitlines():
        text = line.removeprefix("==> ").replace(_BUILDER.rstrip(), "", 1).strip()
        if text and (event.kind in ("say", "error") or text.startswith(("==>", "CHECK "))):
            ctx.progress.detail(text)
        elif text:
            ctx.progress.record(text)
