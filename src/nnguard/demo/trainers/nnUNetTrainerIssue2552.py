"""The trainer of nnU-Net issue #2552, with a training short enough for a laptop.

nnU-Net finds it by the variable ``nnUNet_extTrainer``.

The images look the same on the left and on the right, so this trainer switches mirroring off. It forgets to change
``inference_allowed_mirroring_axes``: they stay (0, 1), so nnU-Net still mirrors at test time.
"""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerIssue2552(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 4
        self.num_iterations_per_epoch = 25
        self.num_val_iterations_per_epoch = 5

    @staticmethod
    def get_training_transforms(patch_size, rotation_for_DA, deep_supervision_scales, mirror_axes, *more, **options):
        slight_rotation, no_mirroring = (-0.05, 0.05), None
        return nnUNetTrainer.get_training_transforms(
            patch_size, slight_rotation, deep_supervision_scales, no_mirroring, *more, **options
        )
