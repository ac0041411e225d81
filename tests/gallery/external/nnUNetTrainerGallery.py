"""Trainers of the gallery as ``nnUNetv2_train -tr`` finds them, by ``nnUNet_extTrainer``; ``tests`` is on the path."""

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from gallery import own_transforms, steps_and_loaders, third_party


class nnUNetTrainerGallery(nnUNetTrainer):
    """As long as a verdict needs: a train step of one's own is watched for up to 32 steps."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_val_iterations_per_epoch = 1, 1
        self.num_iterations_per_epoch = 33 if "train_step" in vars(type(self)) else 2


for entry in (*own_transforms.gallery, *third_party.gallery, *steps_and_loaders.gallery):
    made = entry.make(nnUNetTrainerGallery)
    if made is not nnUNetTrainerGallery:
        made.__name__ = made.__qualname__ = f"nnUNetTrainerGallery_{entry.name}"
        made.__module__ = __name__
        globals()[made.__name__] = made
