import contextlib
import sys
import warnings
from pathlib import Path

import pytest

import nnguard
from nnguard.errors import ConsistencyWarning
from tests.support import trainers


@pytest.fixture(autouse=True)
def left_as_it_was():
    """Modes, patches and what was told belong to one test."""
    _start_afresh()
    yield
    _start_afresh()


def _start_afresh():
    nnguard.uninstall()
    verdicts = sys.modules.get("nnguard.hooks.enforcement")
    if verdicts is not None:
        verdicts.forget_what_was_told()


@pytest.fixture
def guard():
    """``guard("strict")`` arms this process in a mode; nnU-Net may have been imported before."""
    return nnguard.install


@pytest.fixture
def told():
    """The consistency warnings of a test, in order; nothing else may warn through the guard."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        class Told(list):
            @property
            def codes(self):
                texts = [str(warning.message) for warning in caught if warning.category is ConsistencyWarning]
                return [text.split()[0] for text in texts]

            @property
            def texts(self):
                return [str(warning.message) for warning in caught if warning.category is ConsistencyWarning]

            @property
            def warnings(self):
                return [warning for warning in caught if warning.category is ConsistencyWarning]

        yield Told()


def small(plans):
    """Plans with a network of a few thousand weights."""
    arguments = plans["configurations"]["2d"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [4] * len(arguments["features_per_stage"])


@pytest.fixture(scope="session")
def base():
    """nnU-Net's trainer class, the real one."""
    return trainers.trainer_class("nnUNetTrainer")


@pytest.fixture(scope="session")
def unmirrored(base):
    """The trainer of nnU-Net's issue #2552: no mirroring in training, all of it declared for predicting."""

    class nnUNetTrainerUnmirrored(base):
        @staticmethod
        def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **kwargs):
            return base.get_training_transforms(patch_size, (-0.05, 0.05), scales, None, *args, **kwargs)

    return nnUNetTrainerUnmirrored


@pytest.fixture
def new_trainer(tmp_path):
    """``new_trainer(class, workers=0)``: a real, small trainer whose output goes to a folder of the test."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(trainers.nnunet_variables(tmp_path, nnUNet_n_proc_DA="0"))

        def make(kind="nnUNetTrainer", workers=0, **options):
            stack.enter_context(trainers.nnunet_variables(tmp_path, nnUNet_n_proc_DA=str(workers)))
            made = trainers.new_trainer("2d", tmp_path, kind, change_plans=small, **options)
            made.num_iterations_per_epoch, made.num_val_iterations_per_epoch, made.num_epochs = 2, 1, 1
            stack.callback(trainers.shut_down, made)
            return made

        yield make


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory, base, unmirrored):
    """Model folders written by real trainers under the guard: ``sound``, ``unmirrored``, and ``unguarded``."""
    # Saved under nnU-Net's own name, by which the predictor looks the trainer up.
    renamed = type("nnUNetTrainer", (unmirrored,), {})
    folders = {}
    for name, kind, mode in (("sound", base, "warn"), ("unmirrored", renamed, "warn"), ("unguarded", renamed, "off")):
        results = tmp_path_factory.mktemp(name)
        nnguard.install(mode)
        # debug.json tells of the pipeline only where there are workers.
        workers = "1" if name == "unguarded" else "0"
        with warnings.catch_warnings(), trainers.nnunet_variables(results, nnUNet_n_proc_DA=workers):
            warnings.simplefilter("ignore")
            made = trainers.new_trainer("2d", results, kind, change_plans=small)
            made.on_train_start()
            made.save_checkpoint(str(Path(made.output_folder) / "checkpoint_final.pth"))
            folders[name] = Path(made.output_folder_base)
            trainers.shut_down(made)
        nnguard.uninstall()
    return folders


@pytest.fixture
def new_predictor():
    """``new_predictor(class=None, **options)``: a real predictor on the CPU."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    def make(kind=nnUNetPredictor, **options):
        return kind(device=torch.device("cpu"), allow_tqdm=False, **options)

    return make
