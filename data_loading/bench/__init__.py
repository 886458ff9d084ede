"""Bench: our loader beside the peers that are installed, on the same images, in interleaved rounds.

works: what is made of an image.  peers: each library in its best honest form, in a process of its own.
timing: rounds, ratios and intervals.  stages: where our time goes and how far the bound is.  doctor: what binds.
op_cases: each op with given numbers, ours and other libraries'.  ops: what each costs.  op_table: the table of that.
"""
