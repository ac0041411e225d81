"""A demonstration of nnU-Net issue #2552: real nnU-Net trains and predicts on a small synthetic dataset."""
