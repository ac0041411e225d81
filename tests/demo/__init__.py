"""Claims about the demo."""
