"""Trainers of the gallery as ``nnUNetv2_train -tr`` finds them, by ``nnUNet_extTrainer``; ``tests`` is on the path."""

import copy
import os

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from tests.gallery import own_transforms, steps_and_loaders, third_party


class nnUNetTrainerGallery(nnUNetTrainer):
    """A network of a few hundred weights, for as many steps as a verdict needs: an axis that is absent from batches of
    two is told from a rare one after 128."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        plans = copy.deepcopy(plans)
        arguments = plans["configurations"][configuration]["architecture"]["arch_kwargs"]
        arguments["features_per_stage"] = [4] * len(arguments["features_per_stage"])
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_val_iterations_per_epoch = 1, 1
        self.num_iterations_per_epoch = 129 if "train_step" in vars(type(self)) else 2

    def plot_network_architecture(self):
        """Takes a second, and draws nothing without hiddenlayer."""

    def perform_actual_validation(self, save_probabilities=False):
        # It exports in processes that import nnU-Net anew: ten seconds, which two of the six spend.
        if "GALLERY_VALIDATES" in os.environ:
            super().perform_actual_validation(save_probabilities)


for entry in (*own_transforms.gallery, *third_party.gallery, *steps_and_loaders.gallery):
    made = entry.make(nnUNetTrainerGallery)
    if made is not nnUNetTrainerGallery:
        made.__name__ = made.__qualname__ = f"nnUNetTrainerGallery_{entry.name}"
        made.__module__ = __name__
        globals()[made.__name__] = made
