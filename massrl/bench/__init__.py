"""Benchmarks behind `massrl bench`: correctness of the losses, learning on digits, cost of a step, MASSRL's strategies.

cases: each loss with a slow reference of its equation.  conformance: the largest difference between the two, in one
process and in two.  methods: a short training of each method on digits, evaluated before and after.  overhead: the
share of a step's time outside the backbone.  peers: speed of our losses against lightly's.  strategies: SimCLR, BYOL
and MASSRL at equal numbers of views.  recipes: the YAML recipes for digits.  table: results as text.
"""
