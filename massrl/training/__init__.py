"""Pretraining: its settings, its length, the training itself."""
