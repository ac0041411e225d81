"""Claims about reading and writing checkpoints."""
