"""The spectral sum of `kinetic.boltzmann`, compiled.

One cell after the other: its modes and all fields that are made of them stay in a second-level
cache, and what a cell gets does not depend on the others. The transforms are those of DUCC (M.
Reinecke), called by the kernel, which therefore needs the interpreter only once: threads that call
transforms from Python wait for its lock as long as they compute.
"""

from __future__ import annotations

from numba import njit
from rocket_fft import c2r, r2c


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def spectral_sum(  # type: ignore[no-untyped-def]
    first, last, f, factors, even, axes, spectrum, modes, products, fields, Q
):
    """Write gain minus loss of the cells first <= cell < last of f into Q, both (cells, N, N).

    Args:
        factors: of the real and imaginary parts of the modes of f, whose transforms back are to be
            multiplied in pairs, k and k + n / 2, or, the last, with f, shape (n + 1, N (N + 2)).
        even: whether each product stands also for its mirror image in v_2.
        axes: the last two of three.
        spectrum, modes: space for the modes of one cell, complex (1, N, N / 2 + 1), and the same
            memory as real numbers (N (N + 2),).
        products, fields: space, (n + 1, N (N + 2)) and (n + 1, N, N).
    """
    N, half = f.shape[1], factors.shape[0] // 2
    complete = products.view(spectrum.dtype).reshape((factors.shape[0], N, N // 2 + 1))
    loss = 0.5 if even else 1.0
    for cell in range(first, last):
        r2c(f[cell : cell + 1], spectrum, axes, True, 1.0, 1)
        for k in range(factors.shape[0]):
            for n in range(modes.size):
                products[k, n] = factors[k, n] * modes[n]
        c2r(complete, fields, axes, False, 1.0 / (N * N), 1)
        for i in range(N):
            for j in range(N):
                Q[cell, i, j] = -loss * f[cell, i, j] * fields[half + half, i, j]
            for k in range(half):
                for j in range(N):
                    Q[cell, i, j] += fields[k, i, j] * fields[k + half, i, j]
            if even:
                for j in range(N // 2):
                    both = Q[cell, i, j] + Q[cell, i, N - 1 - j]
                    Q[cell, i, j], Q[cell, i, N - 1 - j] = both, both
