"""Fill in the templates of pages. A page loads nothing but its own pictures, and shows all text as text."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from brats_ml.untrusted_text import CONTENT_POLICY


def render(template: str, filters: Mapping[str, Callable[..., str]] = MappingProxyType({}), **values: Any) -> str:
    """Return a template of `reports/templates` with the values, escaped, and with the policy of all pages.

    Args:
        template: The name of the template.
        filters: Its own filters by name, besides `number`.
        values: Its values by name.
    """
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": format_number, **filters}
    return environment.get_template(template).render(policy=CONTENT_POLICY, **values)


def format_number(value: float | None, digits: int = 3) -> str:
    """Return a number of a table, or a dash if it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"  # noqa: RUF001 - tables use an en dash
