"""Claims about nnU-Net's own commands under the guard."""
