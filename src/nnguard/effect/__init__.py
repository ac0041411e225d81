"""What the trained network answers under flips."""
