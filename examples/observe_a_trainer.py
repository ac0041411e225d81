"""See what a trainer's augmentation does, before it trains: python observe_a_trainer.py DATASET CONFIGURATION TRAINER.

The trainer makes its folder in nnUNet_results. `nnguard preflight` does the same without leaving a trace.
"""

import sys

import torch
from nnunetv2.run.run_training import get_trainer_from_args

import nnguard

if __name__ == "__main__":
    dataset, configuration, name = sys.argv[1:]
    trainer = get_trainer_from_args(dataset, configuration, 0, name, device=torch.device("cpu"))
    trainer.initialize()
    trainer.dataloader_train, trainer.dataloader_val = trainer.get_dataloaders()
    record = nnguard.observe(trainer)
    print(f"state: {record.mirroring.state}")
    for flip in record.mirroring.flips:
        print(f"axes {flip.axes} flipped together: {flip.verdict}, in {flip.rate:.0%} of the samples")
    print(f"axes that are safe to mirror: {record.mirroring.safe_axes}")
    print(f"axes that nnU-Net would mirror: {trainer.inference_allowed_mirroring_axes}")
