"""Render a layer's folder, which `packer build .` can also build by hand.

Templates decide on structure only. Values are passed as Packer variables (JSON, which HCL does not interpolate), and to the
scripts in the guest as quoted words of recipe.env.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from goldenami.bake.model import LayerInputs
from goldenami.model.image import Layer
from goldenami.recipe.recipe import Recipe
from goldenami.recipe.targets import Target
from goldenami.recipe.template_vars import template_vars
from goldenami.tools.jinja import ROOT, render_text
from goldenami.tools.quoting import Value, packer_text

# Since this version Packer installs plugins (`packer init`); before, the amazon builders are built in.
PLUGINS = (1, 7, 0)
# Since this version Packer downloads plugins from releases.hashicorp.com, the only source of newer ones.
RELEASES = (1, 14, 0)
# Archives that the bake puts into the folder: the application's source, and the files that declare its dependencies.
ARCHIVES = ("source.tar.gz", "dependencies.tar")


def render(inputs: LayerInputs, folder: Path, root: Path = ROOT) -> list[Path]:
    """Render a layer's folder; the HCL uploads the archives that are already in it.

    Raises:
        RenderError: A template is invalid, or a value cannot be quoted.
    """
    recipe, layer = inputs.recipe, inputs.layer
    values = template_vars(recipe, layer, inputs.region or inputs.target.region, inputs.app_commit)
    contents = _contents(values, recipe, layer, root)
    plugins = inputs.packer_version >= PLUGINS
    values |= {
        "plugins": plugins,
        "packer_version": ".".join(map(str, inputs.packer_version)),
        "target": inputs.target,
        "endpoint": bool(inputs.endpoint_url or inputs.target.endpoint_url),
        "instance_profile": inputs.instance_profile or inputs.target.iam_instance_profile,
        "encrypted": recipe.image.root_volume.encrypted,
        "volume_type": recipe.image.root_volume.type,
        "scripts": sorted(name for name in contents if name.startswith("scripts/")),
        "archives": [name for name in ARCHIVES if (folder / name).exists()],
        "ami_name": inputs.ami_name,
        "run_id": inputs.run_id,
    }
    contents["golden.pkr.hcl"] = render_text("golden.pkr.hcl.j2", values, root)
    contents["README.txt"] = render_text("replay.txt.j2", values, root)
    contents["golden.auto.pkrvars.json"] = json.dumps(packer_variables(inputs), indent=2, ensure_ascii=False) + "\n"
    contents["variables.pkr.hcl"] = (root / "packer/variables.pkr.hcl").read_text(encoding="utf-8")
    if plugins:
        name = "plugins.pkr.hcl" if inputs.packer_version >= RELEASES else "plugins-1.7.pkr.hcl"
        contents["plugins.pkr.hcl"] = (root / "packer" / name).read_text(encoding="utf-8")
    return _write(contents, folder)


def fingerprint_inputs(
    recipe: Recipe,
    layer: Layer,
    source_ami: str,
    app_commit: str = "",
    target: Target | None = None,
    root: Path = ROOT,
    dependencies: bytes | None = None,
) -> dict[str, bytes]:
    """Return everything that determines a layer's contents, by name.

    Included: the rendered scripts, files and units; recipe.env; the text of the HCL template; the source AMI; the root volume
    and its key; for `app` also the source's commit and the recipe's tags. Excluded: run id, version, AMI name, dates, keys,
    endpoint, subnet, instance type and Packer's version, which do not change the image. The base layer depends on the
    application's user, directory and dependencies only, so that other changes of the application do not rebuild it.

    Args:
        target: The target; the recipe's default if None.
    """
    target = target or recipe.target()
    values = template_vars(recipe, layer, target.region, app_commit)
    contents = _contents(values, recipe, layer, root)
    contents["golden.pkr.hcl.j2"] = (root / "templates/golden.pkr.hcl.j2").read_text(encoding="utf-8")
    facts = {
        "source_ami": source_ami,
        "kms_key_id": target.kms_key_id,
        "root_volume": recipe.image.root_volume.model_dump(),
    }
    if layer == "app":
        facts |= {"commit": app_commit, "tags": recipe.tags, "environment": recipe.image.environment}
    elif dependencies is not None:
        facts["dependencies"] = hashlib.sha256(dependencies).hexdigest()
    contents["facts.json"] = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return {name: text.encode() for name, text in sorted(contents.items())}


def _contents(values: Mapping[str, object], recipe: Recipe, layer: Layer, root: Path) -> dict[str, str]:
    contents = {path: source.read_text(encoding="utf-8") for path, source in _static_files(layer, root)}
    contents["recipe.env"] = render_text("recipe.env.j2", values, root)
    if layer == "app":
        name = recipe.image.name
        contents[f"files/{name}.service"] = render_text("app.service.j2", values, root)
        contents[f"files/{name}-database.service"] = render_text("app-database.service.j2", values, root)
        if recipe.release.command:
            contents["files/release-command"] = render_text("release-command.j2", values, root)
        if recipe.database.on_volume:
            contents["files/goldenami-volume.service"] = render_text("data-volume.service.j2", values, root)
    return contents


def _static_files(layer: Layer, root: Path) -> Iterator[tuple[str, Path]]:
    for folder in ("common", layer):
        for script in sorted((root / "provisioners" / folder).glob("*.sh")):
            yield f"scripts/{script.name}", script
    yield "files/lib.sh", root / "provisioners/lib.sh"
    if layer == "app":
        for folder in ("provisioners/files", "systemd/image"):
            for path in sorted((root / folder).glob("*")):
                yield f"files/{path.name}", path


def _write(contents: Mapping[str, str], folder: Path) -> list[Path]:
    # Files of an earlier rendering must not be uploaded.
    for name in ("scripts", "files"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.glob("*.pkr.hcl"):
        path.unlink()
    paths = []
    for name, text in sorted(contents.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        path.chmod(0o755 if text.startswith("#!") else 0o644)
        paths.append(path)
    return paths


def packer_variables(inputs: LayerInputs) -> dict[str, Value]:
    """Return the values of the variables that packer/variables.pkr.hcl declares."""
    recipe, target = inputs.recipe, inputs.target
    volume = recipe.image.root_volume
    tags = {packer_text(name): packer_text(value) for name, value in inputs.tags.items()}
    built_on = f"{recipe.image.family}, Go {recipe.runtime.go.version}, PostgreSQL {recipe.runtime.postgresql.version}"
    return {
        "region": inputs.region or target.region,
        "endpoint_url": inputs.endpoint_url or target.endpoint_url,
        "source_ami": inputs.source_ami,
        "ami_name": inputs.ami_name,
        "ami_description": f"{recipe.image.name} {inputs.layer} layer: {built_on}",
        "instance_type": recipe.instance_type(target),
        "ssh_username": recipe.image.os.user,
        "subnet_id": target.subnet_id,
        "security_group_ids": list(target.security_group_ids),
        # Fail closed if no network is configured and Packer cannot determine its public address.
        "ssh_cidrs": list(target.ssh_cidrs) or ["127.0.0.1/32"],
        "iam_instance_profile": inputs.instance_profile or target.iam_instance_profile,
        "kms_key_id": target.kms_key_id,
        "root_device": recipe.image.os.root_device,
        "volume_size": volume.size_gib,
        "volume_type": volume.type,
        "volume_iops": volume.iops,
        "volume_throughput": volume.throughput,
        "encrypted": volume.encrypted,
        "tags": tags,
        "run_tags": tags | {"Name": f"{inputs.ami_name} (builder)"},
        "manifest": {"run": inputs.run_id, "layer": inputs.layer, "fingerprint": inputs.fingerprint},
    }
