"""The report: every figure is there, in files and in a page that needs nothing else."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_closures import HISTORY
from matplotlib.lines import Line2D

import kinetic
from closures.learned import Learned
from closures.library import LearnedClosure, parse
from closures.metrics import FIELDS
from closures.network.closure import Architecture, NetworkClosure, Networks
from closures.outcomes import REFERENCE, Case, Comparison, Outcome, overall
from closures.report.figures import (
    decade_medians,
    dissipation_figure,
    error_figure,
    features_figure,
    training_figure,
    whole_decades,
)
from closures.report.hierarchy import hierarchies, hierarchy_figure
from closures.report.page import labels, learned_sections, showcases, write_report
from closures.report.profiles import profiles
from closures.report.reconstruction import reconstruct, samples
from closures.report.style import PALETTE, Drawing, blank, legend, looks, settings
from closures.report.tables import PROPERTY_NOTES, decade_rows, flat, number, scientific
from closures.structure import PROPERTIES
from kinetic.moments import moments_of
from kinetic.problems import problem
from kinetic.velocity import VelocityGrid


class Page(HTMLParser):
    """Collects what a page consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.links.append(value or "")
            self.links += re.findall(r"url\((.*?)\)", value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def text(compared: Comparison) -> str:
    return (compared.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def figures(compared: Comparison) -> set[str]:
    """Names of the figures that the small comparison must have."""
    shown = {show.case.name for show in showcases(compared)}
    per_case = {f"{kind}-{name}" for name in shown for kind in ("profiles", "distributions")}
    return {"errors", "moments-entropy", "dissipation-entropy", "training"} | per_case


def test_a_case_of_each_kind_is_drawn(compared: Comparison) -> None:
    shown = [show.case for show in showcases(compared)]
    assert [case.knudsen is None for case in shown] == [False] * (len(shown) - 1) + [True]
    assert len(shown) >= 2


def test_every_figure_is_in_the_page_and_in_two_files(compared: Comparison, page: Page) -> None:
    inside = {name for name in figures(compared) if not name.startswith("profiles-")}
    assert {f"figure-{name}" for name in inside} <= set(page.ids)
    assert page.tags["svg"] == page.tags["figure"] == len(inside)
    files = {path.name for path in (compared.folder / "figures").iterdir()}
    assert files == {f"{name}.{kind}" for name in figures(compared) for kind in ("png", "pdf")}
    for path in (compared.folder / "figures").iterdir():
        start = b"\x89PNG" if path.suffix == ".png" else b"%PDF"
        assert path.read_bytes().startswith(start)
        assert path.stat().st_size > 5000


def test_the_page_needs_nothing_else(text: str, page: Page) -> None:
    assert not re.search(r"https?:", text)
    assert not page.tags.keys() & {"link", "iframe", "object", "embed", "base", "img"}
    assert page.tags["script"] == 2  # the profiles, and what the page does
    assert "@import" not in text
    assert page.links
    assert all(link.startswith("#") for link in page.links)


def test_identifiers_are_unique_and_every_reference_has_its_target(page: Page) -> None:
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_the_tables_state_the_summary(compared: Comparison, text: str) -> None:
    summary = compared.summary()
    for closure, families in summary.items():
        for family in families.values():
            momentum = family["momentum"]
            assert momentum is not None, closure
            assert f"<td>{number(100 * momentum)}</td>" in text
    tables = text[: text.index('<table id="decades"')]
    assert tables.count("1 of 2 failed") == 4  # in two tables, for two families


def test_the_table_of_structure_says_what_was_found(text: str) -> None:
    table = text[text.index('<table id="kept"') : text.index('<dl class="notes">')]
    assert (table.count("✓"), table.count("✗")) == (3 * len(PROPERTIES) - 2, 2)
    rows = dict(
        zip(
            ("Euler", "Hermite, K = 3", "entropy, K = 6"), table.split("<tr class")[1:], strict=True
        )
    )
    assert all(name in row for name, row in rows.items())
    assert '−0.25</span> <span class="lost">' in rows["Hermite, K = 3"]
    assert '–</span> <span class="lost">' in rows["Hermite, K = 3"]
    assert '−1.5·10⁻⁶</span> <span class="kept">' in rows["Euler"]


def test_every_property_is_explained() -> None:
    assert list(PROPERTY_NOTES) == list(PROPERTIES)


def with_errors(error: float, eps: float, closure: str, number: int) -> Outcome:
    """Make an outcome with one error in all fields."""
    state = problem("wave", seed=number, knudsen=eps, cells=4)
    return Outcome(Case("wave", number, state), closure, dict.fromkeys(FIELDS, error), 0.1)


def test_a_decade_that_is_worse_than_twice_the_mean_is_marked(compared: Comparison) -> None:
    errors = {2e-3: 0.01, 3e-3: 0.01, 0.2: 0.02, 2.0: 0.2}
    outcomes = tuple(
        with_errors(error, eps, closure, i)
        for closure in (REFERENCE, "euler")
        for i, (eps, error) in enumerate(errors.items())
    )
    closures = {"euler": compared.closures["euler"]}
    found = decade_rows(replace(compared, outcomes=outcomes, closures=closures))
    spans, rows = found["wave"]
    assert spans == ["0.001 – 0.01", "0.1 – 1", "1 – 10"]
    assert len({tuple(spans) for spans, _ in found.values()}) == 1  # columns of one table
    # The mean of the family is 6 %.
    assert [(one.mean, one.worse) for one in rows["euler"]] == [
        ("1.0", False),
        ("2.0", False),
        ("20", True),
    ]


def test_the_table_of_decades_states_them(compared: Comparison, text: str) -> None:
    table = text[text.index('<table id="decades"') : text.index('<section id="errors">')]
    for families in compared.decades().values():
        for one in families["wave"]:
            assert f"{one['from']:g} – {one['to']:g}" in table
            mean = overall(one)
            assert mean is None or f"{number(100 * mean)}</td>" in table
    assert "transition" not in table


def test_closures_of_one_name_are_joined_by_their_moments(compared: Comparison) -> None:
    specs = {"entropy-9": 9, "entropy-6": 6, "euler": 0, "hermite-3": 3}
    closures = {spec: parse(spec) for spec in specs}
    errors = {"entropy-9": 0.01, "entropy-6": 0.02, "euler": 0.3, "hermite-3": 0.1, REFERENCE: 0.0}
    outcomes = [
        replace(with_errors(error, 0.1, spec, 0), seconds=1.0 / (1.0 + error))
        for spec, error in errors.items()
    ]
    lost = replace(outcomes[1], errors=None, reason="lost", case=with_errors(0, 1, "", 1).case)
    made = replace(compared, closures=closures, outcomes=(*outcomes, lost))
    assert hierarchies(made) == {"entropy": ["entropy-6", "entropy-9"]}
    with settings():
        upper, lower = hierarchy_figure(made, looks(labels(closures))).figure.axes
    joined = [line for line in upper.lines if len(line.get_xdata()) == 2]
    assert [list(line.get_xdata()) for line in joined] == [[6, 9]]
    assert [list(line.get_ydata()) for line in joined] == [pytest.approx([0.02, 0.01])]
    marks = {line.get_xdata()[0]: line for line in upper.lines if line.get_marker() == "o"}
    assert {K: marks[K].get_ydata()[0] for K in marks} == pytest.approx(
        {specs[spec]: error for spec, error in errors.items() if spec != REFERENCE}
    )
    hollow = [K for K, mark in marks.items() if mark.get_markerfacecolor() == "white"]
    assert hollow == [6]
    times = [line.get_xdata()[0] for line in lower.lines if line.get_marker() == "o"]
    expected = [1e3 / (1.0 + errors[spec]) for spec in closures]
    assert times == pytest.approx(expected)


def test_the_hierarchy_is_drawn_where_there_is_one(compared: Comparison, page: Page) -> None:
    assert hierarchies(compared) == {}
    assert "figure-hierarchy" not in page.ids


def test_failures_are_listed_with_their_reason(text: str) -> None:
    failures = text[text.index('<section id="failures">') : text.index('<section id="setup">')]
    assert failures.count("density is not positive: -0.1 &lt; 0") == 2
    assert failures.count("Hermite, K = 3") == 2


def test_the_set_up_is_stated(page: Page) -> None:
    for words in (
        "900000 to 900001 (test)",
        "scheme.limiter",
        "[euler,hermite-3,entropy]",
        "torch",
    ):
        assert words in page.text


def test_figures_drawn_again_are_the_same_to_the_byte(
    compared: Comparison, text: str, tmp_path: Path
) -> None:
    appearance = looks(labels(compared.closures))
    with settings():
        closure = compared.closures["entropy"]
        again = [
            profiles(showcases(compared)[0], appearance),
            features_figure("entropy", closure, appearance["entropy"]),
        ]
        svgs = [drawing.save(tmp_path) for drawing in again]
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (compared.folder / "figures" / path.name).read_bytes()
    assert [svg in text for svg in svgs] == [drawing.in_page for drawing in again] == [False, True]


def test_a_closure_that_failed_is_drawn_as_far_as_it_came(compared: Comparison) -> None:
    appearance = looks(labels(compared.closures))
    for show in showcases(compared):
        outcome = show.outcomes["hermite-3"]
        with settings():
            drawing = profiles(show, appearance)
        first, last = drawing.figure.axes[0], drawing.figure.axes[2]
        color = appearance["hermite-3"].color
        assert color in [line.get_color() for line in first.lines]
        assert (color in [line.get_color() for line in last.lines]) is not outcome.failed
        entries = [one.get_text() for one in drawing.figure.legends[0].get_texts()]
        assert ("Hermite, K = 3 (failed, t = 0.015)" in entries) is outcome.failed


def test_a_panel_shows_the_reference_where_a_closure_is_far_away(compared: Comparison) -> None:
    show = showcases(compared)[0]
    wild = show.outcomes["euler"]
    assert wild.solution is not None
    far = wild.solution.assign(heat_flux=wild.solution.heat_flux + 1e3)
    show = replace(show, outcomes={**show.outcomes, "euler": replace(wild, solution=far)})
    with settings():
        drawing = profiles(show, looks(labels(compared.closures)))
    bottom, top = drawing.figure.axes[12].get_ylim()  # the row of q
    reference = show.reference.heat_flux
    assert bottom <= float(reference.min()) <= float(reference.max()) <= top
    assert top - bottom <= 2.0 * float(reference.max() - reference.min()) * (1 + 1e-12)


def test_a_comparison_without_a_case_to_draw_has_a_page(
    compared: Comparison, tmp_path: Path, quick: None
) -> None:
    outcomes = tuple(replace(one, solution=None) for one in compared.outcomes)
    path = write_report(replace(compared, outcomes=outcomes, folder=tmp_path))
    page = Page(path.read_text(encoding="utf-8"))
    assert "profiles-in-time" not in page.ids
    assert "accuracy" in page.ids
    assert page.tags["script"] == 1


def test_every_closure_has_one_colour_and_no_two_share_a_line() -> None:
    appearance = looks({str(i): str(i) for i in range(3 * len(PALETTE))})
    lines = [(look.color, str(look.dash)) for look in appearance.values()]
    assert len(set(lines)) == len(lines)
    borders = {look.border for look in appearance.values()}
    assert borders == {"solid", "dashed", "dotted"}
    assert appearance[REFERENCE].color not in PALETTE


def test_a_legend_is_no_wider_than_its_figure() -> None:
    with settings():
        figure, _ = blank(1, 1, (4.0, 3.0))
        legend(figure, [Line2D([], [], label=f"a closure with a long name, {i}") for i in range(5)])
        figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0.0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_labels_tell_closures_apart() -> None:
    closures = {spec: parse("hermite", 3) for spec in ("a/model", "b/model", "c/other", "hermite")}
    assert labels(closures) == {
        "a/model": "a, K = 3",
        "b/model": "b, K = 3",
        "c/other": "other, K = 3",
        "hermite": "Hermite, K = 3",
    }


def test_labels_that_two_directories_do_not_tell_apart_are_whole() -> None:
    closures = {spec: parse("hermite", 3) for spec in ("a/k/model", "b/k/model")}
    assert labels(closures) == {spec: spec for spec in closures}


def test_networks_have_figures_of_moments_fluxes_and_rollout() -> None:
    networks = Networks(Architecture(moments=4, encoder=8, decoder=8, flux=8))
    network = NetworkClosure(networks, 5.0, {"history": HISTORY, "rollout": HISTORY})
    closures = {"models/a": network, "hermite-3": parse("hermite-3")}
    with settings():
        found = learned_sections(closures, looks(labels(closures)))
        drawings = [drawing for section in found for drawing in section.drawings]
    assert [drawing.name for drawing in drawings] == ["moments-models-a", "fluxes", "rollout"]
    assert sum(axis.get_visible() for axis in drawings[0].figure.axes) == 4


def test_medians_are_taken_in_each_decade() -> None:
    eps = np.array([2e-3, 4e-3, 9e-3, 0.5, 2.0])
    x, y = decade_medians(eps, np.array([1.0, 5.0, 3.0, 7.0, np.nan]))
    assert x.tolist() == [4e-3, 0.5]
    assert y.tolist() == [3.0, 7.0]
    assert whole_decades(eps) == pytest.approx((1e-3, 10.0))


def test_crosses_of_failures_lie_above_all_errors(compared: Comparison) -> None:
    with settings():
        figure = error_figure(compared, looks(labels(compared.closures))).figure
    top = np.log(figure.axes[0].get_ylim())
    largest = max(one.errors["density"] for one in compared.outcomes if one.errors)
    height = (np.log(largest) - top[0]) / (top[1] - top[0])
    crosses = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "x"]
    drawn = np.concatenate([line.get_ydata() for line in crosses])
    assert len(drawn) == 2 * 3  # two failures in each of three fields
    assert height < min(drawn)


def test_training_curves_are_drawn() -> None:
    with settings():
        drawing = training_figure("training", {"entropy": HISTORY}, looks({"entropy": "entropy"}))
    (axis,) = drawing.figure.axes
    assert [list(one.get_ydata()) for one in axis.lines] == [
        HISTORY["train"],
        HISTORY["validation"],
    ]
    assert axis.get_yscale() == "log"


@pytest.mark.parametrize("spec", ["hermite-3", "hermite-6", "entropy-6", "entropy-9"])
def test_a_reconstruction_has_the_moments_of_f(spec: str) -> None:
    output = {"distribution": True}
    solution = kinetic.solve(problem="mix", cells=8, time={"end": 0.01}, output=output)
    state, grid = solution.isel(time=-1), VelocityGrid()
    closure = parse(spec)
    f_hat = reconstruct(closure, state)
    U, U_hat = (moments_of(f, grid) for f in (state.distribution.values, f_hat))
    assert f_hat.shape == state.distribution.shape
    # They are equal on the nodes of the closure, from which those of the grid differ.
    assert pytest.approx(U, abs=1e-4) == U_hat


@pytest.mark.parametrize("spec", ["hermite-3", "entropy-6"])
def test_a_maxwellian_is_its_own_reconstruction(spec: str) -> None:
    solution = kinetic.solve(
        problem="shock", cells=8, time={"end": 1e-9}, output={"distribution": True}
    )
    state = solution.isel(time=0)
    assert reconstruct(parse(spec), state) == pytest.approx(state.distribution.values, abs=2e-7)


def test_samples_are_the_cells_farthest_from_typical_and_nearest_to_equilibrium() -> None:
    solution = kinetic.solve(
        problem="mix", cells=9, time={"end": 0.01}, output={"distribution": True}
    )
    chosen = samples({"hermite": parse("hermite", 3)}, solution.isel(time=-1))
    deviations = [one.deviation for one in chosen]
    assert deviations == sorted(deviations, reverse=True)
    assert [one.label.split()[0] for one in chosen] == ["largest", "median", "smallest"]
    for one in chosen:
        direct = np.abs(one.f - one.maxwellian).sum() / one.f.sum()
        assert one.deviation == pytest.approx(direct, rel=1e-12)
        assert one.window[0] < one.v[np.argmax(one.f)] < one.window[1]


def test_what_has_no_reconstruction_is_left_out() -> None:
    solution = kinetic.solve(
        problem="mix", cells=4, time={"end": 1e-3}, output={"distribution": True}
    )

    class Undecodable(LearnedClosure):
        def decode(
            self, m: torch.Tensor, knudsen: torch.Tensor, start: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            theta, found = super().decode(m, knudsen, start)
            return theta, found & (torch.arange(len(found)) != 2)

    closure = parse("entropy-6")
    f_hat = reconstruct(
        Undecodable(closure.name, closure.features, closure.dual),
        solution.isel(time=-1),
    )
    assert np.isnan(f_hat).all(axis=1).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.32, "0.32"),
        (-0.0043, "−4.3·10⁻³"),
        (-1.8e-6, "−1.8·10⁻⁶"),
        (2e-15, "2.0·10⁻¹⁵"),
        (0.0, "0"),
        (1e-305, "0"),
    ],
)
def test_small_values_are_written_with_powers_of_ten(value: float, written: str) -> None:
    assert scientific(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.01234, "0.012"), (0.996, "1.0"), (1.96, "2.0"), (34.6, "35"), (1234.5, "1234"), (0.0, "0")],
)
def test_numbers_have_two_significant_digits(value: float, written: str) -> None:
    assert number(value) == written


def test_a_configuration_reads_as_on_the_command_line() -> None:
    nested = {
        "time": {"end": 0.1},
        "compare": {"closures": ("a", "b")},
        "knudsen": None,
        "on": True,
    }
    assert dict(flat(nested)) == {
        "time.end": "0.1",
        "compare.closures": "[a,b]",
        "knudsen": "null",
        "on": "true",
    }


def test_curves_that_hardly_differ_have_an_axis_of_a_decade() -> None:
    with torch.no_grad():
        closure = Learned(12).requires_grad_(False).closure()
        damping = closure.dissipation(torch.logspace(-3, 1, 9, dtype=torch.float64))[0]
    assert float(damping.max() / damping.min()) < 1.001  # what made an axis of no extent
    with settings(), warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing = dissipation_figure("a", closure, looks({"a": "a"})["a"])
        drawing.figure.draw_without_rendering()
    bottom, top = drawing.figure.axes[0].get_ylim()
    assert top / bottom == pytest.approx(10.0)
    assert bottom < float(damping.min()) <= float(damping.max()) < top


def test_svgs_of_one_page_do_not_share_identifiers(tmp_path: Path) -> None:
    texts = []
    with settings():
        for name in ("one", "two"):
            figure, axes = blank(1, 1, (2.0, 2.0))
            axes[0, 0].plot([0.0, 1.0], [0.0, 1.0])
            texts.append(Drawing(name, "", "", figure).save(tmp_path))
    first, second = (Page(text) for text in texts)
    assert first.ids
    assert not set(first.ids) & set(second.ids)
