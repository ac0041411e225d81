"""The real trainers that the other tests are built on are what they are taken for."""

import pytest

from tests.support.disc_datasets import KINDS
from tests.support.trainers import trainer_on


@pytest.mark.parametrize("kind", KINDS)
def test_a_trainer_draws_batches_of_its_own_shape(kind, tmp_path):
    with trainer_on(kind, tmp_path) as trainer:
        batch = next(trainer.dataloader_train)
        target = batch["target"][0] if isinstance(batch["target"], list) else batch["target"]
        assert tuple(batch["data"].shape[2:]) == KINDS[kind].shape
        assert tuple(target.shape[2:]) == KINDS[kind].shape
        assert trainer.inference_allowed_mirroring_axes == tuple(range(len(KINDS[kind].shape)))


def test_the_anisotropic_dataset_gets_dummy_2d_augmentation_and_the_isotropic_one_does_not(tmp_path):
    found = {}
    for kind in ("isotropic", "anisotropic"):
        with trainer_on(kind, tmp_path) as trainer:
            loader = trainer.dataloader_train.data_loader
            found[kind] = any("3DTo2D" in type(step).__name__ for step in loader.transforms.transforms)
    assert found == {"isotropic": False, "anisotropic": True}


def test_workers_are_gone_after_the_trainer(tmp_path):
    import multiprocessing

    before = set(multiprocessing.active_children())
    with trainer_on("2d", tmp_path, workers=1) as trainer:
        next(trainer.dataloader_train)
        assert set(multiprocessing.active_children()) > before
    assert set(multiprocessing.active_children()) <= before
