"""Benchmarks: our loader compared with other libraries' loaders (peers), and our ops with other libraries' ops.

All are given the same images, and their rounds alternate, so that a change of the machine's speed affects all of them.

works: which views are made of an image.  peers: each library as its users would write it, in a process of its own.
timing: rounds, ratios and intervals.  stages: time of our loader by stage.  doctor: finds the bottleneck of a machine.
op_cases: each op with fixed numbers, in our kernels and in other libraries.  ops: time per op.  op_table: their table.
text_table: columns of text.  chart: bar chart of the loaders.
"""
