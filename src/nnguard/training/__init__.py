"""A training run as plain data: no torch, no wrapt, no nnU-Net."""
