"""A script that predicts with nnU-Net, guarded: python guard_a_script.py MODEL IMAGES PREDICTIONS.

Set NNGUARD to choose the mode, for example NNGUARD=strict. Without it the mode is "warn".
"""

import sys

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

import nnguard  # this line switches the guard on, before or after nnU-Net is imported

if __name__ == "__main__":
    model, images, predictions = sys.argv[1:]
    print(nnguard.status())
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    try:
        predictor.initialize_from_trained_model_folder(model, use_folds=None)
        predictor.predict_from_files(images, predictions)
    except nnguard.MirroringError as refusal:  # in the modes "strict" and "exact"; the mode "warn" warns and predicts
        sys.exit(f"not predicted: {[finding.code for finding in refusal.findings]}{refusal}")
