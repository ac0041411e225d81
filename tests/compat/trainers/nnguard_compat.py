"""Trainers for every version of nnU-Net. Copied into its own folder, where users of nnU-Net before 2.8 put theirs.

None has an ``__init__``: nnU-Net stores what its own signature names, and that has changed between versions.
"""

import multiprocessing
import os
import shutil
from pathlib import Path

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerIssue2552(nnUNetTrainer):
    """Issue 2552, four epochs long: mirroring is switched off, and nnU-Net is not told."""

    def initialize(self):
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 4, 25, 5
        self.save_every = 1
        super().initialize()

    @staticmethod
    def get_training_transforms(patch_size, rotation_for_DA, deep_supervision_scales, mirror_axes, *more, **options):
        slight = (-0.05, 0.05)
        by_axis = isinstance(rotation_for_DA, dict)  # until 2.4
        rotation = dict.fromkeys(rotation_for_DA, slight) if by_axis else slight
        return nnUNetTrainer.get_training_transforms(
            patch_size, rotation, deep_supervision_scales, None, *more, **options
        )

    def get_dataloaders(self):
        loaders = super().get_dataloaders()
        if "WITH_RUNNING_WORKERS" in os.environ:
            if not multiprocessing.active_children():  # until 2.3 they start with the first batch
                for loader in loaders:
                    next(loader)
            print(f"workers running: {len(multiprocessing.active_children())}", flush=True)
        return loaders

    def on_train_end(self):
        # nnU-Net deletes the latest checkpoint at the end.
        folder = Path(self.output_folder)
        shutil.copy(folder / "checkpoint_latest.pth", folder / "latest_as_it_was.pth")
        super().on_train_end()


class nnUNetTrainerBrief(nnUNetTrainer):
    """nnU-Net's default trainer in all but its length."""

    def initialize(self):
        self.num_epochs = int(os.environ.get("BRIEF_EPOCHS", "1"))
        self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 1
        super().initialize()
