"""Claims about a network's answers under flips."""
