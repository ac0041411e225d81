"""Claims about pictures."""
