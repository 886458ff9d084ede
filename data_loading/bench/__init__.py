"""Bench: our loader beside the peers that are installed, on the same images, in interleaved rounds.

works: what is made of an image.  peers: each library in its best honest form, in a process of its own.
timing: rounds, ratios and intervals.  stages: where our time goes and how far the bound is.  doctor: what binds.
"""
