"""nnguard compares what an nnU-Net was trained to see with what its predictor shows it."""
