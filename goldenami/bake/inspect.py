"""Boot an image about which nothing was written down, read what is in it from its console, and end the instance."""

from __future__ import annotations

import secrets
from functools import partial

from goldenami.aws import instances
from goldenami.aws import security_groups as networks
from goldenami.aws.instances import Launch
from goldenami.bake import artifacts as provenance
from goldenami.bake import environment as access
from goldenami.bake import inventory as knowledge
from goldenami.bake import render
from goldenami.context import Shop
from goldenami.errors import AwsError
from goldenami.model import image as tags
from goldenami.model.image import Image
from goldenami.model.inventory import Facts, Package, heard, parse
from goldenami.state import logbook, runs
from goldenami.state.runs import Run, write_text
from goldenami.tools.clock import attempts

_PATIENCE = 900.0  # seconds; EC2 may take minutes to show a console


def look_inside(shop: Shop, image: Image) -> Facts:
    """Launch the image, and keep what it says of itself for the team.

    Raises:
        AwsError: It did not come up, or did not say it in time; its console is kept.
    """
    with (
        runs.lock(shop.build / "bake.lock", "a bake is running here; waiting for it", shop.progress.say),
        logbook.opened(shop, "diff", ended=partial(provenance.close, shop), ami=image.id) as run,
        shop.progress.phase(f"look into {image.name}"),
    ):
        machine, rows = _asked(shop, run, image)
        knowledge.publish(shop, image, machine, [Package(*row[:5]) for row in rows])
        return parse(machine, rows)


def _asked(shop: Shop, run: Run, image: Image) -> tuple[dict[str, object], list[list[str]]]:
    recipe, target, nonce = shop.recipe, shop.target, secrets.token_hex(8)
    told = {tags.RUN: run.id, tags.IMAGE: shop.name}
    vpc = networks.vpc_of(shop.aws, target.subnet_id or None)
    # Nobody needs to reach it: what it says is read from its console.
    group = networks.ensure_security_group(shop.aws, shop.clock, f"goldenami-{run.id}-look", vpc, {}, told)
    wanted = Launch(
        image=image.id,
        type=recipe.instance_type(target),
        user_data=render.facts_script(recipe, nonce, image.layer or "app", image.tags.get(tags.COMMIT, "")),
        security_groups=[group, *target.security_group_ids],
        tags={"Name": f"{image.name}-look", **told},
        token=f"{run.id}-look-{image.id}"[:64],
        subnet=target.subnet_id or None,
        profile=access.ensure_profile(shop),
    )
    machine = instances.launch(shop.aws, shop.clock, wanted)
    try:
        instances.wait_running(shop.aws, shop.clock, machine.id)
        console = ""
        for _ in attempts(shop.clock, timeout=_PATIENCE, every=2):
            console = instances.console(shop.aws, machine.id)
            if found := heard(console, nonce):
                return found
        write_text(run.folder / "console.log", console)
        raise AwsError(
            f"{image.name} ({image.id}) did not say what is in it",
            state="The instance was terminated.",
            next=f"less {run.folder / 'console.log'}",
        )
    finally:
        instances.terminate(shop.aws, shop.clock, machine.id)
        networks.delete_security_group(shop.aws, shop.clock, group)
