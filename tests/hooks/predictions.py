"""Loading a model into a real predictor, and predicting one image with it."""

import numpy as np

CHECKPOINT = "checkpoint_final.pth"
IMAGE = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype(np.float32)
PROPERTIES = {"spacing": (999.0, 1.0, 1.0)}


def load(made, folder, folds=(0,)):
    """``made`` with the weights of these folds, as nnU-Net's commands load them."""
    made.initialize_from_trained_model_folder(str(folder), folds, CHECKPOINT)
    return made


def predicted(made):
    """The segmentation of ``IMAGE``."""
    return made.predict_single_npy_array(IMAGE, dict(PROPERTIES))
