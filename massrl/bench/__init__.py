"""Bench: every loss beside its equation, every method on digits, and what a training step costs beside its backbone.

cases: each loss and its equation in loops.  conformance: how far they are apart, in one process and over two.
methods: each method's digits recipe, cut short and judged.  overhead: the part of a step outside the backbone.
peers: our losses beside lightly's.  table: all of it as text.
"""
