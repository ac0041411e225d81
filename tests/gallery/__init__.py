"""Trainers that people write, each with the truth about what it shows."""
