"""Claims about what people read."""
