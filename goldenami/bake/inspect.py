"""Boot an image that has no inventory, and read the inventory from its console output."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

from goldenami.aws import instances
from goldenami.bake import artifacts, environment, inventory
from goldenami.context import Context
from goldenami.errors import AwsError
from goldenami.model.image import COMMIT, Image
from goldenami.model.inventory import ImageInventory, Package, parse, parse_console
from goldenami.recipe.recipe import Recipe
from goldenami.state import runs
from goldenami.state.runs import Run, write_text
from goldenami.tools.clock import poll
from goldenami.tools.jinja import ROOT, render_text

_TIMEOUT = 900.0  # seconds; EC2 may take minutes to show console output


def inspect_image(ctx: Context, image: Image) -> ImageInventory:
    """Launch an instance of the image, and save the inventory that it prints; its console output is kept if it fails."""
    with (
        environment.bake_lock(ctx),
        runs.record_run(ctx, "diff", on_end=partial(artifacts.close_run, ctx), ami=image.id) as run,
        ctx.progress.phase(f"inspect {image.name}"),
    ):
        report, rows = _read_console(ctx, run, image)
        inventory.save(ctx, image, report, [Package(*row[:5]) for row in rows])
        return parse(report, rows)


def _read_console(ctx: Context, run: Run, image: Image) -> tuple[dict[str, object], list[list[str]]]:
    nonce = secrets.token_hex(8)
    script = facts_script(ctx.recipe, nonce, image.layer or "app", image.tags.get(COMMIT, ""))
    profile = environment.ensure_profile(ctx)
    with environment.temporary_instance(ctx, run, image, "inspect", script, profile=profile) as instance:
        instances.wait_running(ctx.aws, ctx.clock, instance.id)
        output = ""
        for _ in poll(ctx.clock, timeout=_TIMEOUT, every=2):
            output = instances.console_output(ctx.aws, instance.id)
            if contents := parse_console(output, nonce):
                return contents
        write_text(run.folder / "console.log", output)
    raise AwsError(
        f"{image.name} ({image.id}) could not be inspected: its instance printed no inventory",
        state="The instance was terminated.",
        next=f"less {run.folder / 'console.log'}",
    )


def facts_script(recipe: Recipe, nonce: str, layer: str, commit: str, root: Path = ROOT) -> str:
    """Return the user data of an instance that prints its inventory, marked with a nonce, on its console."""
    lib = (root / "provisioners/lib.sh").read_text(encoding="utf-8")
    values = {"recipe": recipe, "nonce": nonce, "layer": layer, "commit": commit, "lib": lib}
    return render_text("inventory.sh.j2", values, root)
