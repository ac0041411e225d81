"""The bug of nnU-Net issue #2552, made, trained and measured with real nnU-Net on a small made dataset."""
