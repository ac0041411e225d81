"""Claims about model folders."""
