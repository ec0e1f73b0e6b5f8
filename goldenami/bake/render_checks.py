"""What rendered HCL must say, whatever the recipe: IMDSv2, encryption, private, tagged, recorded, and no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from goldenami.model import image
from goldenami.tools import packer_schema
from goldenami.tools.hcl import Block, Expression, read

# The comments by which the template says that a matter is settled elsewhere, or on purpose.
AFTER_BUILD = "# IMDSv2: enforced after the build with ModifyImageAttribute"
UNENCRYPTED = "# Not encrypted: the recipe says so."

# Attributes that share an AMI, or that remove what is already there.
_SHARING = ["ami_users", "ami_groups", "ami_org_arns", "ami_ou_arns", "snapshot_users", "snapshot_groups"]
_DESTRUCTIVE = ["force_deregister", "force_delete_snapshot"]
_CREDENTIALS = [
    "access_key",
    "secret_key",
    "token",
    "mfa_code",
    "ssh_password",
    "ssh_bastion_password",
    "ssh_proxy_password",
]

# The tags that every AMI of ours carries.
TAGS = ("Name", "Environment", "Created", "Go", "PostgreSQL")
OUR_TAGS = (image.RUN, image.LAYER, image.FINGERPRINT, image.SOURCE_AMI)

_SECRETS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS secret": r"(?i)(?:secret_access_key|session_token)[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+=]{20,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})\b",
    "a password in a URL": r"://[^/\s:@\"'$]+:[^/\s@\"'$]+@",
}


def check(found: list[Block], values: Mapping[str, Any], text: str, generation: str) -> Iterator[str]:
    """Yield each thing that the HCL fails to say, or must not say."""
    sources = [b for b in found if b.kind == "source"]
    if [s.labels[0] for s in sources] != ["amazon-ebs"]:
        yield "there must be exactly one source, an amazon-ebs"
        return
    source = sources[0]
    yield from _imds(source, text, generation)
    yield from _volume(source, values, text)
    for name in _SHARING:
        if name in source.attributes:
            yield f"{name} would share the image; images are private"
    for name in _DESTRUCTIVE:
        if name in source.attributes:
            yield f"{name} would remove images that may be in use"
    for name in _CREDENTIALS:
        if name in source.attributes:
            yield f"{name} must come from the environment, never from HCL"
    ami = source.value("source_ami", values)
    if not isinstance(ami, str) or not re.fullmatch(r"ami-[0-9a-f]{8,17}", ami):
        yield f"source_ami must be the literal id of an AMI, not {ami!r}"
    for name in ("tags", "snapshot_tags", "run_tags", "run_volume_tags"):
        yield from _tags(name, source.value(name, values))
    yield from _build(found)


def _imds(source: Block, text: str, generation: str) -> Iterator[str]:
    if generation == "1.6":
        if AFTER_BUILD not in text:
            yield "IMDSv2 is neither required nor marked to be enforced after the build"
        return
    options = source.inner("metadata_options")
    if source.attributes.get("imds_support") != "v2.0":
        yield 'imds_support must be "v2.0", so that instances of the AMI require IMDSv2'
    if not options or options[0].attributes.get("http_tokens") != "required":
        yield 'metadata_options must hold http_tokens = "required", so that the builder requires IMDSv2'


def _volume(source: Block, values: Mapping[str, Any], text: str) -> Iterator[str]:
    volumes = source.inner("launch_block_device_mappings")
    if not volumes:
        yield "the root volume must be stated, with its encryption"
    for volume in volumes:
        encrypted = volume.value("encrypted", values)
        if encrypted is not True and not (encrypted is False and UNENCRYPTED in text):
            yield "the root volume must be encrypted"
        if volume.attributes.get("delete_on_termination") is not True:
            yield "the root volume must end with its instance"


def _tags(name: str, tags: Any) -> Iterator[str]:
    if not isinstance(tags, Mapping):
        yield f"{name} must be given"
        return
    wanted = [*TAGS, *OUR_TAGS]
    if tags.get(image.LAYER) == "app":
        wanted += ["Version", image.COMMIT]
    missing = [tag for tag in wanted if not tags.get(tag)]
    if missing:
        yield f"{name} lacks {', '.join(missing)}"
    if len(tags) > 50:
        yield f"{name} has {len(tags)} tags; EC2 takes 50"
    for tag, value in tags.items():
        if len(tag) > 127 or len(value) > 256 or tag.lower().startswith("aws:"):
            yield f"{name} has a tag that EC2 refuses: {tag[:60]}"


def _build(found: list[Block]) -> Iterator[str]:
    builds = [b for b in found if b.kind == "build"]
    if len(builds) != 1:
        yield "there must be exactly one build"
        return
    manifests = [b for b in builds[0].inner("post-processor") if b.labels == ("manifest",)]
    if not manifests or manifests[0].attributes.get("output") != "packer-manifest.json":
        yield "a manifest post-processor must write packer-manifest.json"
    steps = builds[0].inner("provisioner")
    home = [n for n, step in enumerate(steps) if step.attributes.get("direction") == "download"]
    wipe = [n for n, step in enumerate(steps) if "clean" in str(step.attributes.get("script", ""))]
    if not home or (wipe and min(wipe) < home[0]):
        yield "the report must be downloaded before the clean-up"


def missing_files(found: list[Block], folder: Path) -> Iterator[str]:
    """Yield each file that a provisioner names and that is not in the folder."""
    for step in (step for build in found if build.kind == "build" for step in build.inner("provisioner")):
        name = step.attributes.get("script") or step.attributes.get("source")
        if isinstance(name, Expression) or name is None or step.attributes.get("direction") == "download":
            continue
        if not (folder / name).exists():
            yield f"{name} is named in the HCL but is not in the folder"


def secrets(folder: Path) -> Iterator[str]:
    """Yield each rendered text that looks as if it held a secret; what it is is never told."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "ssh_key" and not path.name.endswith((".gz", ".log")):
            text = path.read_text(encoding="utf-8", errors="replace")
            for what, pattern in _SECRETS.items():
                if re.search(pattern, text):
                    yield f"{path.relative_to(folder)} seems to hold {what}"


def check_attributes(folder: Path) -> list[str]:
    """Every reason not to hand a rendered folder to Packer; an empty list means that there is none.

    Raises:
        RenderError: One of its files cannot be parsed.
    """
    found, values = read(folder)
    generation: packer_schema.Generation = "1.7" if any(block.kind == "packer" for block in found) else "1.6"
    text = (folder / "golden.pkr.hcl").read_text(encoding="utf-8")
    return [
        *packer_schema.check(found, values, generation),
        *check(found, values, text, generation),
        *missing_files(found, folder),
        *secrets(folder),
    ]
