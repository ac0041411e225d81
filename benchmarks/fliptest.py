"""What ``nnguard fliptest`` says of models whose truth is known, with and without labels: for docs/fliptest.md.

Run it as ``python benchmarks/fliptest.py [FOLDER]``; it prints a table in Markdown. Models and images are kept in
FOLDER and used again. nnU-Net's own trainers, losses and predictor, a narrow network of its own architecture, made
discs; each model is one training.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

os.environ["NNGUARD"] = "off"
sys.path.insert(0, str(Path(__file__).parents[1]))

from nnguard.demo import disc_dataset
from tests.support import trainers
from tests.support.pipelines import FlipBoth

TRAINING_CASES, TEST_CASES = 20, 12
#: Brightness of an image's right edge over its middle, of 160 in a disc: tells which way round the image lies.
CUE = 60.0


@dataclass(frozen=True)
class Data:
    """One made dataset. ``whole`` has one label for each disc, which every flip keeps."""

    name: str
    shape: tuple[int, ...] = (64, 64)
    cue: float = 0.0
    whole: bool = False

    @property
    def configuration(self) -> str:
        return "2d" if len(self.shape) == 2 else "3d_fullres"

    @property
    def ending(self) -> str:
        return ".png" if len(self.shape) == 2 else ".nii.gz"


HALVES, CUED, WHOLE = Data("Dataset571_Halves"), Data("Dataset572_Cued", cue=CUE), Data("Dataset573_Whole", whole=True)
HALVES_3D = Data("Dataset574_Halves3D", (24, 32, 32))
WHOLE_3D = Data("Dataset575_Whole3D", (24, 32, 32), whole=True)
DATA = (HALVES, CUED, WHOLE, HALVES_3D, WHOLE_3D)


@dataclass(frozen=True)
class Tried:
    """One model.

    Args:
        what: for the table.
        mirrors: what its training really mirrors along, by chance; ``None`` for what nnU-Net says.
        always: an axis that its training always mirrors along, so that it never sees the plain view.
    """

    what: str
    data: Data
    trainer: str = "nnUNetTrainer"
    steps: int = 300
    mirrors: tuple[int, ...] | None = None
    always: int | None = None


MODELS = (
    Tried("default", WHOLE),
    Tried("default", CUED, steps=600),
    Tried("default, cannot tell left from right", HALVES),
    Tried("default, 10 steps", WHOLE, steps=10),
    Tried("default, 10 steps", HALVES, steps=10),
    Tried("default, 3 steps", HALVES, steps=3),
    Tried("default, 60 steps", CUED, steps=60),
    Tried("issue 2552: never mirrors, declares (0, 1)", HALVES, mirrors=()),
    Tried("issue 2552", CUED, mirrors=()),
    Tried("issue 2552", WHOLE, mirrors=()),
    Tried("issue 2552, 40 steps", HALVES, steps=40, mirrors=()),
    Tried("always mirrors along x, declares (0, 1)", HALVES, mirrors=(), always=1),
    Tried("onlyMirror01", HALVES, "nnUNetTrainer_onlyMirror01"),
    Tried("NoMirroring", HALVES, "nnUNetTrainerNoMirroring"),
    Tried("default", WHOLE_3D),
    Tried("issue 2552", HALVES_3D, mirrors=()),
)


def main() -> int:
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    made(folder)
    print("| model | data | plain Dice | flip | agreement | Dice lost | with labels | without |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for tried in MODELS:
        model = trained(folder, tried)
        documents = [tested(folder, tried, model, labels) for labels in (True, False)]
        for line in rows(tried, *documents):
            print(line, flush=True)
    return 0


def rows(tried: Tried, document: dict[str, Any], unlabelled: dict[str, Any]) -> list[str]:
    begin = f"| {tried.what} | {tried.data.name.partition('_')[2]} | {number(document['plain']['dice'])} |"
    lines = [
        f"{begin} {{{', '.join(map(str, flip['axes']))}}} | {spread(flip, 'agreement')} | {spread(flip, 'loss')} | "
        f"{flip['verdict']} | {without['verdict']} |"
        for flip, without in zip(document["flips"], unlabelled["flips"], strict=True)
    ]
    if document["tta"]["axes"]:
        tta = document["tta"]
        lost = f"{number(-tta['gain'])} ({number(-tta['gain_high'])} to {number(-tta['gain_low'])})"
        lines.append(f"{begin} TTA {tuple(tta['axes'])} | | {lost} | {tta['verdict']} | |")
    return lines


def spread(flip: dict[str, Any], name: str) -> str:
    if flip[name] is None:
        return "-"
    low, high = flip.get(f"{name}_low"), flip.get(f"{name}_high")
    return number(flip[name]) + (f" ({number(low)} to {number(high)})" if low is not None else "")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value + 0.0 if abs(value) >= 0.005 else 0.0:.2f}"


def tested(folder: Path, tried: Tried, model: Path, labels: bool) -> dict[str, Any]:
    from nnguard.cli.fliptest import measure
    from nnguard.models.folder import open_model

    raw = folder / "raw" / tried.data.name
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        document, _ = measure(
            open_model(model), raw / "imagesTs", raw / "labelsTs" if labels else None, TEST_CASES, "cpu"
        )
    return document


# ---------------------------------------------------------------- data and models


def made(folder: Path) -> None:
    """Writes, plans and preprocesses the datasets, where they are not there yet."""
    if (folder / "preprocessed" / "done").exists():
        return
    for data in DATA:
        write(folder / "raw" / data.name, data)
    variables = dict(os.environ, nnUNet_raw=str(folder / "raw"), nnUNet_preprocessed=str(folder / "preprocessed"))
    (folder / "preprocessed").mkdir(exist_ok=True)
    for configuration in ("2d", "3d_fullres"):
        numbers = [data.name[7:10] for data in DATA if data.configuration == configuration]
        command = [sys.executable, "-m", "nnguard.demo.preparation", "-d", *numbers, "-c", configuration]
        subprocess.run(command, env=variables, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (folder / "preprocessed" / "done").touch()


def write(folder: Path, data: Data) -> None:
    import numpy
    import SimpleITK
    from skimage import io as images

    def save(array: Any, path: Path) -> None:
        if data.ending == ".png":
            images.imsave(str(path), array.clip(0, 255).astype(numpy.uint8), check_contrast=False)
        else:
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array.astype(numpy.float32)), str(path))

    generator = numpy.random.default_rng(2552)
    for suffix, cases in (("Tr", TRAINING_CASES), ("Ts", TEST_CASES)):
        for kind in ("images", "labels"):
            (folder / f"{kind}{suffix}").mkdir(parents=True)
        for case in range(cases):
            image, label = disc_dataset.draw(data.shape, generator)
            image = image + data.cue * numpy.linspace(-1, 1, data.shape[-1])
            save(image, folder / f"images{suffix}" / f"case{suffix}_{case:03d}_0000{data.ending}")
            save(
                label.clip(0, 1) if data.whole else label,
                folder / f"labels{suffix}" / f"case{suffix}_{case:03d}{data.ending}",
            )
    disc_dataset.write_description(
        folder,
        channels={"0": "grey"},
        training_cases=TRAINING_CASES,
        file_ending=data.ending,
        labels={"background": 0, "disc": 1} if data.whole else None,
    )


def trained(folder: Path, tried: Tried) -> Path:
    """The model folder, trained where it is not there yet."""
    import numpy as np
    import torch

    name = sha256(repr(tried).encode()).hexdigest()[:12]
    marker = folder / "results" / f"{name}.json"
    if marker.exists():
        return Path(json.loads(marker.read_text()))
    settings = folder / "preprocessed" / tried.data.name
    plans = json.loads((settings / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    narrow(plans["configurations"][tried.data.configuration])
    variables = {
        "nnUNet_raw": str(folder / "raw"),
        "nnUNet_preprocessed": str(folder / "preprocessed"),
        "nnUNet_results": str(folder / "results"),
        "nnUNet_n_proc_DA": "0",
    }
    with contextlib.redirect_stdout(io.StringIO()), trainers.nnunet_variables(folder / "results", **variables):
        base = trainers.trainer_class(tried.trainer)
        own = base if tried.mirrors is None else mirroring_only(base, tried.mirrors, tried.always)
        torch.manual_seed(0)
        np.random.seed(0)
        trainer = own(
            plans=plans,
            configuration=tried.data.configuration,
            fold="all",
            dataset_json=json.loads((settings / "dataset.json").read_text()),
            device=torch.device("cpu"),
        )
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, tried.steps, 1
        trainer.run_training()
    output = Path(trainer.output_folder)
    kept = folder / "results" / name / output.parent.name
    shutil.rmtree(kept.parent, ignore_errors=True)
    shutil.copytree(output.parent, kept)
    # Of one model folder nnU-Net finds the numbered folds by itself.
    (kept / "fold_all").rename(kept / "fold_0")
    shutil.rmtree(output.parent)
    marker.write_text(json.dumps(str(kept)))
    return kept


def narrow(configuration: dict[str, Any]) -> None:
    """A network that learns in seconds."""
    configuration["batch_size"] = min(8, configuration["batch_size"]) if len(configuration["patch_size"]) == 2 else 2
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [min(2 ** (3 + stage), 64) for stage in range(arguments["n_stages"])]


def mirroring_only(base: type, axes: tuple[int, ...], always: int | None) -> type:
    """A trainer that declares what ``base`` declares and mirrors along ``axes`` alone, by slight rotations at most."""

    def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **options):
        pipeline = base.get_training_transforms(patch_size, (-0.05, 0.05), scales, axes or None, *args, **options)
        if always is not None:
            pipeline.transforms.insert(1, FlipBoth((always,), 1.0, lambda: 0.0))
        return pipeline

    return type(base.__name__, (base,), {"get_training_transforms": staticmethod(get_training_transforms)})


if __name__ == "__main__":
    sys.exit(main())
