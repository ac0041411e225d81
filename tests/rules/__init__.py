"""Claims about rules."""
