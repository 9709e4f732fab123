"""Run the suite: ``python -m benchmarks [--only WORDS] [--page]``; ``make bench`` does.

Prints a table, appends the run to the history, and draws the growth. ``--only`` runs the benchmarks
whose names hold the words, and keeps nothing. ``--page`` writes the table and the figure into the
documentation too. The exit status is 1 if something grows faster than stated.
"""

from __future__ import annotations

import argparse
import os
import sys

#: All is measured on one thread, the data set by single-threaded processes.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="run benchmarks whose names hold these words")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md too")
    options = parser.parse_args()
    os.environ |= dict.fromkeys(ONE_THREAD, "1")  # before NumPy and PyTorch are imported

    from benchmarks import history, page
    from benchmarks.growth import GROWTHS
    from benchmarks.measure import grow, run
    from benchmarks.suite import BENCHMARKS

    results, growths = [], []
    for benchmark in BENCHMARKS:
        if options.only in benchmark.name:
            print(f"{benchmark.name} ...", file=sys.stderr)
            results.append(run(benchmark))
    for growth in GROWTHS:
        if options.only in f"{growth.name} with {growth.variable}":
            print(f"{growth.name} with {growth.variable} ...", file=sys.stderr)
            growths.append(grow(growth))
    record, earlier = history.record_of(results, growths), history.read(history.HISTORY)
    print(page.text(record, earlier))
    if not options.only:
        history.append(record, history.HISTORY)
        page.draw(growths, history.ROOT / "outputs/bench/growth.png")
    if options.page:
        page.write_section(history.ROOT / "docs/benchmarks.md", record)
        page.draw(growths, history.ROOT / "docs/figures/benchmarks-growth.png")
    return int(any(not (grown.as_stated or grown.falls) for grown in growths))


if __name__ == "__main__":
    sys.exit(main())
