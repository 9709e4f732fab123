"""Speed, each time beside its limit and beside what one would use instead: ``make bench``.

The suite is `measure` (how), `alternatives`, `steps`, `commands` and `growth` (what), `history` and
`page` (what is done with it), run by ``python -m benchmarks``. The other files are studies of their
own, each started by itself.
"""
