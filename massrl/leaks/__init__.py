"""Leaks: near-duplicates of test images among the training images, found from pixels, without a network or labels."""
