"""Claims about what is observed of a pipeline."""
