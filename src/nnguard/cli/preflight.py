"""``nnguard preflight``: a training's augmentation observed and judged before it trains."""

from __future__ import annotations

import click

from ..findings import Finding
from .output import exit_status, fail_level_option, findings_for_people, format_option, not_ignored, width_here
from .training import training_arguments, training_started


@click.command(name="preflight")
@training_arguments
@format_option()
@fail_level_option
def command(
    dataset: str,
    configuration: str,
    fold: str,
    trainer_name: str,
    plans: str,
    device: str,
    output_format: str,
    fail_level: str,
) -> int:
    """Build the training that nnUNetv2_train would run, observe its augmentation, and train nothing.

    A trainer outside nnU-Net is found through nnUNet_extTrainer=FOLDER. What only the first steps of training can
    settle is NNG108, advisory: --fail-level advisory makes it exit status 1.
    """
    with training_started(dataset, configuration, fold, trainer_name, plans, device) as trainer:
        from ..hooks.trainer import findings_of, record_of

        record = record_of(trainer)
        findings = not_ignored(findings_of(trainer) + _unsettled(trainer, record))
        subject = f"{trainer_name} on {dataset} {configuration} fold {fold}"
    _print(output_format, subject, record, findings)
    return exit_status(findings, fail_level)


def _unsettled(trainer: object, record: object) -> list[Finding]:
    """NNG108 for what only the first train steps can settle: none is run here, and unknown is no pass."""
    from ..hooks.trainer import training_in_hand
    from ..record import Record
    from ..rules.training import unverified_training

    training = training_in_hand(trainer).training
    if not isinstance(record, Record) or record.mirroring.state != "pending" or training is None:
        return []
    return [unverified_training(record, training)]


def _print(output_format: str, subject: str, record: object, findings: list[Finding]) -> None:
    if output_format == "json":
        import json

        from ..record import Record
        from ..report.json import findings_document, json_text

        document = findings_document(findings, checked=[subject])
        told = json.loads(record.to_json()) if isinstance(record, Record) else None
        click.echo(json_text({**document, "record": told}))
        return
    from ..record import Record
    from ..report.text import record_block

    if isinstance(record, Record):
        click.echo(record_block(record, width_here()) + "\n")
    if findings:
        click.echo(findings_for_people(findings) + "\n")
    number = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}" if findings else "no findings"
    click.echo(f"{subject}: {number}; nothing was trained, and nothing written to the results folder")
