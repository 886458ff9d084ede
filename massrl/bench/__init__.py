"""Bench: losses beside their equations, methods on digits, the cost of a step, several strategies against one.

cases: each loss and its equation in loops.  conformance: how far they are apart, in one process and over two.
methods: each method's digits recipe, cut short and judged.  overhead: the part of a step outside the backbone.
peers: our losses beside lightly's.  strategies: SimCLR, BYOL and MASSRL at equal numbers of views.  table: as text.
"""
