"""How nnguard shows results: text, JSON, HTML, and its private log."""
