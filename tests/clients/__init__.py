"""Claims about other people's software around nnU-Net's predictor."""
