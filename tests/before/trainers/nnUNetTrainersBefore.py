"""The trainers of the kept models, found through ``nnUNet_extTrainer``.

The records hold a digest of this file, so it stays as it is. ``BEFORE_VALIDATES`` asks for nnU-Net's validation,
which takes most of the time.
"""

import os
import random

import numpy
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerBefore(nnUNetTrainer):
    """nnU-Net's default trainer, short and seeded. It mirrors along all axes and declares them."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 4, 1
        random.seed(7)
        numpy.random.seed(7)
        torch.manual_seed(7)

    def plot_network_architecture(self):
        """Takes a second, and draws nothing without hiddenlayer."""

    def perform_actual_validation(self, save_probabilities=False):
        if "BEFORE_VALIDATES" in os.environ:
            super().perform_actual_validation(save_probabilities)


class nnUNetTrainerBeforeUnmirrored(nnUNetTrainerBefore):
    """The trainer of nnU-Net issue 2552: training never mirrors, and all axes are declared. It learns the discs."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch = 4, 100

    @staticmethod
    def get_training_transforms(patch_size, rotation, scales, mirror_axes, *more, **options):
        return nnUNetTrainer.get_training_transforms(patch_size, (-0.05, 0.05), scales, None, *more, **options)


class nnUNetTrainerBeforeStops(nnUNetTrainerBefore):
    """Mirrors, and mirrors no more once it is resumed."""

    def load_checkpoint(self, filename_or_checkpoint):
        super().load_checkpoint(filename_or_checkpoint)
        self.num_epochs = self.current_epoch + 1

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        rotation, dummy_2d, patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        return rotation, dummy_2d, patch_size, mirror_axes if self.current_epoch == 0 else None


class nnUNetTrainerBeforeStopsEarly(nnUNetTrainerBeforeStops):
    """The same for so long after it is resumed that flips are rare over the whole training."""

    def load_checkpoint(self, filename_or_checkpoint):
        super().load_checkpoint(filename_or_checkpoint)
        self.num_iterations_per_epoch = 300


class nnUNetTrainerBeforeStep(nnUNetTrainerBeforeUnmirrored):
    """Mirrors in its train step alone, along axis 0 alone, and declares both axes."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        # nnguard watches the first 32 steps of such a trainer.
        self.num_epochs, self.num_iterations_per_epoch = 1, 33

    def train_step(self, batch):
        if random.random() < 0.5:
            batch["data"] = batch["data"].flip(2)
            batch["target"] = [target.flip(2) for target in batch["target"]]
        return super().train_step(batch)


class nnUNetTrainerBeforeFolds(nnUNetTrainerBefore):
    """Fold 0 mirrors and declares it, fold 1 does neither."""

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        rotation, dummy_2d, patch_size, mirror_axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        if self.fold == 1:
            mirror_axes = self.inference_allowed_mirroring_axes = None
        return rotation, dummy_2d, patch_size, mirror_axes
