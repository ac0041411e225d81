"""Every nnU-Net version that people run, each in an environment of its own, under the guard. See scripts/compat."""
