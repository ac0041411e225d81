"""Results for many models as one HTML page: self-contained, sortable, readable without knowledge of nnguard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from .audit_rows import ORDER, ModelReport, counts, gravest_first
from .escape import escaped, escaped_lines

if TYPE_CHECKING:
    from jinja2 import Template


def audit_page(
    rows: Iterable[ModelReport],
    *,
    title: str,
    made_at: str,
    version: str,
    facts: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> str:
    """The page as text.

    Args:
        rows: one per model; nnguard and jinja2 escape everything in them.
        title: for example the checked folder.
        made_at: date and time, for people.
        version: nnguard's version.
        facts: which of ``ModelReport.facts`` get columns.
        skipped: what was not checked, and why.
    """
    rows = gravest_first(rows)
    return template("audit.html.jinja").render(
        rows=rows,
        title=title,
        made_at=made_at,
        version=version,
        facts=facts,
        skipped=skipped,
        counts=counts(rows),
        order={verdict: place for place, verdict in enumerate(ORDER)},
    )


@cache
def template(name: str) -> Template:
    """One of this package's page templates. jinja2 escapes everything that it shows.

    Its filters ``shown``, ``lines`` and ``cut`` also make invisible characters visible.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    room = files(__package__)
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda asked: room.joinpath(asked).read_text(encoding="utf-8")),
    )
    environment.filters.update(shown=escaped, lines=escaped_lines, cut=lambda text, limit: escaped(text, limit))
    return environment.get_template(name)
