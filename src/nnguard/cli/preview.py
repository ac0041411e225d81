"""``nnguard preview``: a contact sheet of what augmentation makes of one training patch."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import NNGuardError
from .output import format_option, print_json
from .paths import LOCAL_PATH
from .training import training_arguments, training_started


@click.command(name="preview")
@training_arguments
@click.option(
    "-o", "target", type=LOCAL_PATH, default="nnguard_preview.png", show_default=True, help="The PNG to write."
)
@format_option()
def command(
    dataset: str,
    configuration: str,
    fold: str,
    trainer_name: str,
    plans: str,
    device: str,
    target: str,
    output_format: str,
) -> int:
    """Draw one training patch as it is and sixteen times augmented, each with the flip and turn that it received."""
    folder = Path(target).absolute().parent
    if not folder.is_dir():
        raise NNGuardError(f"{folder} is not a folder: {target} cannot be written")
    with training_started(dataset, configuration, fold, trainer_name, plans, device) as trainer:
        from ..hooks.previewing import title_of, write_preview

        drawn = write_preview(trainer, Path(target))
    if output_format == "json":
        draws = [{"flip": None if d.flip is None else list(d.flip), "turn_degrees": d.turn} for d in drawn[1:]]
        print_json({"file": target, "draws": draws})
        return 0
    for number, draw in enumerate(drawn[1:], 1):
        click.echo(f"draw {number:2d}: {title_of(draw)}")
    click.echo(f"written: {target}")
    return 0
