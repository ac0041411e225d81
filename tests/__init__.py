"""Claims about nnguard, in folders that are those of ``src/nnguard``; what they share lies in ``support``."""
