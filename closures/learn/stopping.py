"""When to stop: when hardly anything is left that the ensemble is unsure of, or at the budget."""

from __future__ import annotations

from closures.learn.options import LearnOptions
from closures.learn.rounds import Selection


def reason_to_stop(options: LearnOptions, number: int, found: Selection | None) -> str | None:
    """Why the run ends before the labels of a round are made, None if it goes on.

    Args:
        options: the criteria and the budget.
        number: of the round, that of the first random labels being zero.
        found: what its exploration found, None beyond the budget.
    """
    if number > options.rounds or found is None:
        return f"the budget of {options.rounds} rounds is spent"
    if not found.requests:
        return "no gas is left that the ensemble is unsure of"
    if found.candidate_share is None or found.candidate_share > options.share:
        return None
    bounds = {decade: options.worst * (level or 0.0) for decade, level in found.level.items()}
    if any((found.worst[decade] or 0.0) > bound for decade, bound in bounds.items() if bound):
        return None
    share, most = 100 * found.candidate_share, 100 * options.share
    return (
        f"{share:.2g} % of the gases are candidates, at most {most:.2g} %, and the worst indicator "
        f"of no decade is above {options.worst:g} times its level"
    )
