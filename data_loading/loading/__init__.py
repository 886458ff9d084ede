"""Batches from files: order, threads, memory, state, and the LightningDataModule."""
