"""Run folders and checkpoints: what they hold, and the one place that reads and writes it."""
