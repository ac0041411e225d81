"""What a trained network answers under flips, and whether the answers show harm."""
