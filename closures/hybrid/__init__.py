"""The kinetic solver where a learned closure is not trusted, the closure everywhere else.

`solver` says how the two are one scheme, `indicator` where which of them is used, `collisions` how
often the kinetic cells evaluate their collisions, and `projection` what a closure does on the
velocity grid of the kinetic solver.
"""
