"""Pure functions from a record and a subject to findings. No I/O, no torch, no nnU-Net."""
