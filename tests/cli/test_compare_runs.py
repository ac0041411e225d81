"""``nnguard compare`` on real trainings that differ by one setting each: the table names exactly that setting."""

import json
import os
import subprocess
import sys
import warnings

import pytest

import nnguard as public
from tests.support import disc_datasets, trainers


def small(plans):
    """Plans with a network of a few thousand weights."""
    arguments = plans["configurations"]["2d"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [4] * len(arguments["features_per_stage"])


def small_patch(plans):
    small(plans)
    plans["configurations"]["2d"]["patch_size"] = [48, 48]


def with_attribute(base, name, value):
    """The trainer with one attribute set as people set it: in ``__init__``."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        base.__init__(self, plans, configuration, fold, dataset_json, device)
        setattr(self, name, value)

    return {"__init__": __init__}


def with_mirror_axes(base, axes):
    def configure(self):
        rotation, dummy, patch, _ = base.configure_rotation_dummyDA_mirroring_and_inital_patch_size(self)
        self.inference_allowed_mirroring_axes = axes
        return rotation, dummy, patch, axes

    return {"configure_rotation_dummyDA_mirroring_and_inital_patch_size": configure}


def with_transforms(base, change):
    def build(patch_size, rotation, scales, mirror_axes, *args, **kwargs):
        return change(base.get_training_transforms, patch_size, rotation, scales, mirror_axes, *args, **kwargs)

    return {"get_training_transforms": staticmethod(build)}


def turn_less(build, patch_size, rotation, *more, **options):
    return build(patch_size, (-0.1, 0.1), *more, **options)


def without_noise(build, *arguments, **options):
    pipeline = build(*arguments, **options)
    pipeline.transforms = [one for one in pipeline.transforms if "GaussianNoise" not in str(one)]
    return pipeline


def forget_to_mirror(build, patch_size, rotation, scales, mirror_axes, *more, **options):
    return build(patch_size, rotation, scales, None, *more, **options)


#: The run's name -> what its class changes of ``base``, what its plans change, and the one setting to be named.
RUNS = {
    "Mirror": (lambda base: with_mirror_axes(base, (0,)), small, "mirrored in training"),
    "Trap": (lambda base: with_transforms(base, forget_to_mirror), small, "mirrored in training"),
    "Rotation": (lambda base: with_transforms(base, turn_less), small, "SpatialTransform.rotation"),
    "Noise": (lambda base: with_transforms(base, without_noise), small, "GaussianNoiseTransform"),
    "Rate": (lambda base: with_attribute(base, "initial_lr", 0.003), small, "initial_lr"),
    "Epochs": (lambda base: with_attribute(base, "num_epochs", 2), small, "num_epochs"),
    "Oversampling": (
        lambda base: with_attribute(base, "oversample_foreground_percent", 0.9),
        small,
        "oversample_foreground_percent",
    ),
    "Patch": (lambda base: {}, small_patch, "patch_size"),
}


def train(results, kind, change_plans):
    """One real training of an epoch or two of two steps, without validation, as nnU-Net's command runs it."""
    made = trainers.new_trainer("2d", results, kind, change_plans=change_plans)
    made.num_iterations_per_epoch, made.num_val_iterations_per_epoch = 2, 1
    made.run_training()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A results folder with the default trainer and each of ``RUNS``."""
    results = tmp_path_factory.mktemp("lab")
    base = trainers.trainer_class("nnUNetTrainer")
    # A base of one epoch, so that "Epochs" is told by its own attribute.
    brief = type("nnUNetTrainer", (base,), with_attribute(base, "num_epochs", 1))
    public.install("warn")
    try:
        with warnings.catch_warnings(), trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"):
            warnings.simplefilter("ignore")
            train(results, brief, small)
            for name, (change, change_plans, _) in RUNS.items():
                train(results, type(f"nnUNetTrainer{name}", (brief,), change(brief)), change_plans)
    finally:
        public.uninstall()
    return results


def told(results, *options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NNGUARD")}
    command = [
        sys.executable,
        "-c",
        "import sys; from nnguard.cli import main; sys.exit(main())",
        "compare",
        str(results),
    ]
    return subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_each_run_is_told_by_exactly_the_setting_that_it_changed(lab):
    document = json.loads(told(lab, "--format", "json"))
    (baseline,) = document["baselines"]
    assert baseline["why"] == "trained by nnUNetTrainer"
    found = {
        row["trainer"]: [change["setting"] for change in row["differences"]]
        for row in document["runs"]
        if not row["is_baseline"]
    }
    assert found == {f"nnUNetTrainer{name}": [setting] for name, (_, _, setting) in RUNS.items()}
    assert all(row["unknown"] == [] and row["evidence"] == "record" for row in document["runs"])


@pytest.mark.slow
def test_the_table_says_it_too(lab):
    table = told(lab)
    for words in (
        "mirrored in training: [0, 1] -> [0]",
        "mirrored in training: [0, 1] -> []",
        "SpatialTransform.rotation: [-3.1416, 3.1416] -> [-0.1, 0.1]",
        "GaussianNoiseTransform: taken out",
        "initial_lr: 0.01 -> 0.003",
        "num_epochs: 1 -> 2",
        "oversample_foreground_percent: 0.33 -> 0.9",
        "patch_size: [64, 64] -> [48, 48]",
    ):
        assert words in table, words


@pytest.mark.slow
def test_every_run_has_the_scores_of_its_checkpoint(lab):
    for row in json.loads(told(lab, "--format", "json"))["runs"]:
        assert set(row["pseudo_dice"]["labels"]) == {"left", "right"}
        assert row["validation_dice"]["mean"] is None
        assert row["epochs"] == (2 if row["trainer"] == "nnUNetTrainerEpochs" else 1)
        assert row["dataset"] == disc_datasets.KINDS["2d"].name
