"""``nnguard rule``: the list of rules, or one explained at length."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigurationError
from ..findings import RULES, Rule
from .output import format_option, print_json


@click.command(name="rule")
@click.argument("code", required=False)
@format_option()
def command(code: str | None, output_format: str) -> None:
    """List the rules, or explain one: what it means, a bad and a good example, how to mend and silence it."""
    rules = list(RULES.values()) if code is None else [_rule_called(code)]
    if output_format == "json":
        print_json({"rules": [_as_data(rule, explained=code is not None) for rule in rules]})
    elif code is None:
        click.echo("\n".join(f"{rule.code}  {rule.severity:<8}  {rule.name:<29}  {rule.summary}" for rule in rules))
    else:
        from ..report.pages import rule_page

        click.echo(rule_page(rules[0].code))


def _rule_called(code: str) -> Rule:
    """By code or by name, for people remember either."""
    wanted = code.strip()
    for rule in RULES.values():
        if wanted.upper() == rule.code or wanted.lower() == rule.name:
            return rule
    raise ConfigurationError(f"there is no rule {code!r}; nnguard rule lists them")


def _as_data(rule: Rule, explained: bool) -> dict[str, Any]:
    data = {"code": rule.code, "name": rule.name, "severity": rule.severity, "summary": rule.summary}
    if explained:
        from ..report.pages import rule_page

        data["page"] = rule_page(rule.code)
    return data
