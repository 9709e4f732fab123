"""Many periodic tridiagonal systems at once, their matrices diagonally dominant."""

from __future__ import annotations

import torch
from torch import Tensor

NEGLIGIBLE = 1e-18


def solve_dominant(excess: Tensor, before: Tensor, after: Tensor, b: Tensor) -> Tensor:
    """x of (excess + before + after)_j x_j - before_j x_(j-1) - after_j x_(j+1) = b_j, j periodic.

    All (..., N), the matrix given by what is not negative: so no digit is lost, however large the
    neighbours' weights are beside the excess. Cyclic reduction in all rows at once (Hockney and
    Jesshope, Parallel Computers 2, 1988, sec. 5.4): each pass doubles the distance of the
    neighbours, and in the end squares their share of the diagonal.
    """
    diagonal, distance = excess + before + after, 1
    while float(((before + after) / diagonal).detach().max()) > NEGLIGIBLE:
        # Row j + (before/diagonal of j-distance) row j-distance + the same for j+distance.
        rows = torch.stack((excess, before, after, b)) / diagonal
        behind, ahead = rows.roll(distance, dims=-1), rows.roll(-distance, dims=-1)
        excess = excess + before * behind[0] + after * ahead[0]
        b = b + before * behind[3] + after * ahead[3]
        before, after = before * behind[1], after * ahead[2]
        diagonal = excess + before + after
        distance *= 2
    return b / diagonal
