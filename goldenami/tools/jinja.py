"""Render templates with Jinja: undefined variables are errors, and each language has a quoting filter."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2

from goldenami.errors import RenderError
from goldenami.tools import quoting

ROOT = Path(__file__).resolve().parents[2]


def render_template(template: str, values: Mapping[str, object], root: Path = ROOT) -> str:
    """Render a template of this repository. The template quotes each value for its language."""
    return render_text(template, values, root)


@cache
def environment(root: Path) -> jinja2.Environment:
    # Delimiters that none of the rendered languages uses: `{{ }}` is Packer's, `${ }` and `%{ }` are HCL's, `{#` is in
    # bash's ${#array[@]} (where Jinja would start a comment and drop text silently), `<<` opens heredocs.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root / "templates"),
        variable_start_string="<{",
        variable_end_string="}>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 (no HTML here; each value goes through the filter of its language)
    )
    environment.filters |= {"hcl": quoting.hcl, "sh": quoting.sh, "unit": quoting.unit, "unit_env": quoting.unit_env}
    return environment


def render_text(template: str, values: Mapping[str, object], root: Path) -> str:
    try:
        return environment(root).get_template(template).render(values)
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"templates/{template}, line {error.lineno}: {error.message}") from None
    except jinja2.TemplateNotFound as error:  # the template, or one that it includes
        raise RenderError(f"there is no template templates/{error.name}") from None
    except jinja2.UndefinedError as error:
        raise RenderError(f"templates/{template}: {error.message}") from None
