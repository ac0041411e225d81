"""The trainer of nnU-Net issue #2552, short enough to be trained on a laptop. Found through ``nnUNet_extTrainer``.

Left and right look alike in the images, so mirroring is switched off for training. What is forgotten:
``inference_allowed_mirroring_axes`` stays (0, 1), and nnU-Net mirrors at test time all the same.
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
