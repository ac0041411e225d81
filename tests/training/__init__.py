"""Claims about a training's segments."""
