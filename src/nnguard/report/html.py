"""The audit as one page: self-contained, sortable, readable by a person who has never seen nnguard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from .escape import escaped, escaped_lines
from .rows import ORDER, Row, counts, gravest_first

if TYPE_CHECKING:
    from jinja2 import Template


def audit_page(
    rows: Iterable[Row],
    *,
    title: str,
    made_at: str,
    version: str,
    facts: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> str:
    """The page as text.

    Args:
        rows: one a model; everything in them is escaped, by us and by jinja2.
        title: for example the audited folder.
        made_at: date and time, for people.
        version: nnguard's.
        facts: which of ``Row.facts`` get columns.
        skipped: what was not looked at, and why.
    """
    rows = gravest_first(rows)
    return _template().render(
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
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(shown=escaped, lines=escaped_lines)
    return environment.from_string(files(__package__).joinpath("audit.html.jinja").read_text(encoding="utf-8"))
