"""``nnguard rule``: the list of rules, or one explained at length."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigurationError
from ..findings import HEIRS, RULES, Rule, codes_named
from .output import format_option, print_json


@click.command(name="rule")
@click.argument("code", required=False)
@format_option()
def command(code: str | None, output_format: str) -> None:
    """List the rules, or explain one: what it means, a bad and a good example, how to mend and silence it."""
    codes = list(RULES) if code is None else codes_named(code)
    if codes is None:
        raise ConfigurationError(f"there is no rule {code!r}; nnguard rule lists them")
    explained = code is not None and len(codes) == 1
    if code is not None and code.strip().upper() in HEIRS:
        click.echo(_what_became_of(code.strip().upper()), err=output_format == "json")
    if output_format == "json":
        print_json({"rules": [_as_data(RULES[one], explained) for one in codes]})
    elif explained:
        from ..report.rule_pages import rule_page

        click.echo(rule_page(codes[0]))
    else:
        for rule in (RULES[one] for one in codes):
            click.echo(f"{rule.code}  {rule.severity:<8}  {rule.name:<29}  {rule.summary}")


def _what_became_of(code: str) -> str:
    heir = HEIRS[code]
    if heir is None:
        return f"{code} went, and no rule took its place: each rank of a training is checked by itself."
    return f"{code} went: {heir} {RULES[heir].name} took its place."


def _as_data(rule: Rule, explained: bool) -> dict[str, Any]:
    data = {"code": rule.code, "name": rule.name, "severity": rule.severity, "summary": rule.summary}
    if explained:
        from ..report.rule_pages import rule_page

        data["page"] = rule_page(rule.code)
    return data
