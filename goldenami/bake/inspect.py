"""Boot an image about which nothing was written down, read what is in it from its console, and end the instance."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

from goldenami.aws import instances, security_groups
from goldenami.aws import vpc as aws_vpc
from goldenami.aws.instances import Launch
from goldenami.bake import artifacts, environment, inventory
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.model.inventory import ImageInventory, Package, parse, parse_console
from goldenami.recipe.recipe import Recipe
from goldenami.state import runs
from goldenami.state.runs import Run, write_text
from goldenami.tools.clock import poll
from goldenami.tools.jinja import ROOT, render_text

_TIMEOUT = 900.0  # seconds; EC2 may take minutes to show a console


def inspect_image(ctx: Context, image: Image) -> ImageInventory:
    """Launch the image, and keep what it says of itself for the team.

    Raises:
        AwsError: It did not come up, or did not say it in time; its console is kept.
    """
    with (
        runs.lock(ctx.build / "bake.lock", "a bake is running here; waiting for it", ctx.progress.info),
        runs.record_run(ctx, "diff", on_end=partial(artifacts.write_run, ctx), ami=image.id) as run,
        ctx.progress.phase(f"look into {image.name}"),
    ):
        machine, rows = _run_script(ctx, run, image)
        inventory.save(ctx, image, machine, [Package(*row[:5]) for row in rows])
        return parse(machine, rows)


def _run_script(ctx: Context, run: Run, image: Image) -> tuple[dict[str, object], list[list[str]]]:
    recipe, target, nonce = ctx.recipe, ctx.target, secrets.token_hex(8)
    told = {model_image.RUN: run.id, model_image.IMAGE: ctx.name}
    vpc = aws_vpc.subnet_vpc(ctx.aws, target.subnet_id or None)
    # Nobody needs to reach it: what it says is read from its console.
    group = security_groups.ensure(ctx.aws, ctx.clock, f"goldenami-{run.id}-look", vpc, [], told)
    wanted = Launch(
        image=image.id,
        type=recipe.instance_type(target),
        user_data=facts_script(recipe, nonce, image.layer or "app", image.tags.get(model_image.COMMIT, "")),
        security_groups=[group, *target.security_group_ids],
        tags={"Name": f"{image.name}-look", **told},
        token=f"{run.id}-look-{image.id}"[:64],
        subnet=target.subnet_id or None,
        profile=environment.ensure_profile(ctx),
    )
    machine = instances.launch(ctx.aws, ctx.clock, wanted)
    try:
        instances.wait_running(ctx.aws, ctx.clock, machine.id)
        console = ""
        for _ in poll(ctx.clock, timeout=_TIMEOUT, every=2):
            console = instances.console_output(ctx.aws, machine.id)
            if found := parse_console(console, nonce):
                return found
        write_text(run.folder / "console.log", console)
        raise AwsError(
            f"{image.name} ({image.id}) did not say what is in it",
            state="The instance was terminated.",
            next=f"less {run.folder / 'console.log'}",
        )
    finally:
        instances.terminate(ctx.aws, ctx.clock, machine.id)
        security_groups.delete(ctx.aws, ctx.clock, group)


def facts_script(recipe: Recipe, nonce: str, layer: str, commit: str, root: Path = ROOT) -> str:
    """The user data of an instance that says, marked with a nonce, on its console what is in its image."""
    lib = (root / "provisioners/lib.sh").read_text(encoding="utf-8")
    return render_text(
        "facts.sh.j2", {"recipe": recipe, "nonce": nonce, "layer": layer, "commit": commit, "lib": lib}, root
    )
