"""Reports in a real browser: nothing complains, everything is drawn, and everything answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import Browser, browser, find

from closures.outcomes import Comparison
from closures.report.page import showcases
from closures.snapshots import read_profiles

pytestmark = pytest.mark.skipif(find() is None, reason="needs Chromium or Chrome on the PATH")

PANELS = "[...document.querySelectorAll('.panel')]"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def page(tab: Browser, compared: Comparison) -> Browser:
    """The report, freshly opened, in a tab without complaints so far."""
    tab.complaints.clear()
    tab.open(compared.folder / "report.html")
    return tab


def count(page: Browser, selector: str) -> int:
    """How many elements a selector finds that take up room."""
    shown = f"[...document.querySelectorAll({selector!r})].filter(e => e.getClientRects().length)"
    return int(page.evaluate(f"{shown}.length"))


def choose(page: Browser, case: int, time: int) -> None:
    """Choose a case and move the slider."""
    page.evaluate(
        "{ const select = document.querySelector('.controls select');"
        f"select.selectedIndex = {case}; select.dispatchEvent(new Event('change'));"
        "const slider = document.querySelector('.player input');"
        f"slider.value = {time}; slider.dispatchEvent(new Event('input')); }}"
    )


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_a_report_opens_without_a_complaint(
    tab: Browser, compared: Comparison, width: int, dark: bool
) -> None:
    tab.complaints.clear()
    tab.open(compared.folder / "report.html", width=width, dark=dark)
    assert tab.complaints == []
    assert tab.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    # A phone scrolls a page one way only; wide figures and tables scroll within it.
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert count(tab, ".panel svg path.curve") > 0
    assert count(tab, "figure .picture svg") == tab.evaluate(
        "document.querySelectorAll('figure').length"
    )


def test_text_can_be_read_on_its_paper(page: Browser, compared: Comparison) -> None:
    luminance = (
        "(c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number);"
        "return [r, g, b].map(v => v / 255)"
        ".map(v => v <= 0.04 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)"
        ".reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0); })"
    )
    for dark in (False, True):
        page.open(compared.folder / "report.html", dark=dark)
        for selector in ("h1", ".soft", "td.mean", ".facts dt", "nav a", ".failed"):
            ink, paper = (
                page.evaluate(f"{luminance}({code})")
                for code in (
                    f"getComputedStyle(document.querySelector({selector!r})).color",
                    f"getComputedStyle(document.querySelector({selector!r}).closest("
                    "'.failed, .scroll, .card, body')).backgroundColor",
                )
            )
            contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
            assert contrast > 4.5, (selector, dark)  # WCAG 2.2, level AA


def test_every_field_of_every_case_and_time_is_drawn(page: Browser, compared: Comparison) -> None:
    shows = showcases(compared)
    assert page.evaluate("document.querySelectorAll('.controls option').length") == len(shows)
    for i, show in enumerate(shows):
        varies = show.case.knudsen is None
        for t in range(4):
            choose(page, i, t)
            reached = sum(
                one.solution is not None and one.solution.sizes["time"] > t
                for one in show.outcomes.values()
            )
            assert count(page, ".panel") == 5 + varies
            assert count(page, ".panel .curve") == 5 * reached + varies
            clock = page.evaluate("document.querySelector('.player output').textContent")
            assert float(clock.removeprefix("t = ")) == pytest.approx(0.02 * t / 3, rel=5e-3)
    assert page.complaints == []


def test_the_slider_shows_the_numbers_of_the_files(page: Browser, compared: Comparison) -> None:
    choose(page, 0, 3)
    profile = read_profiles(compared.folder / "profiles.json")[0]
    show = showcases(compared)[0]
    for closure, outcome in show.outcomes.items():
        if outcome.errors is None or closure == "kinetic":
            continue
        place = list(profile.solutions).index(closure)
        text = page.evaluate(f"document.querySelectorAll('.scores b')[{place}].textContent")
        mean = sum(outcome.errors.values()) / 3
        assert float(text.removesuffix(" %")) == pytest.approx(100 * mean, rel=0.06)  # two digits


def test_what_failed_says_so(page: Browser, compared: Comparison) -> None:
    choose(
        page,
        next(i for i, s in enumerate(showcases(compared)) if s.outcomes["hermite-3"].failed),
        3,
    )
    scores = page.evaluate("document.querySelector('.scores').textContent")
    assert "failed at t = 0.015" in scores


def test_a_toggle_hides_a_closure_everywhere(page: Browser) -> None:
    everything = [count(page, f"main {kind}.closure-0") for kind in ("path", "g", "tr", "li")]
    assert all(everything[:1] + everything[2:])
    page.evaluate("document.querySelector('.toggles input[value=\"0\"]').click()")
    assert count(page, "main .closure-0") == 0
    assert count(page, "main .closure-1") > 0
    page.evaluate("document.querySelector('.toggles input[value=\"0\"]').click()")
    assert [count(page, f"main {k}.closure-0") for k in ("path", "g", "tr", "li")] == everything


def test_a_double_click_shows_one_closure_alone(page: Browser) -> None:
    chip = "document.querySelectorAll('.chip')[1]"
    page.evaluate(f"{chip}.dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")
    assert page.evaluate("document.querySelectorAll('.toggles input:checked').length") == 1
    assert count(page, ".panel .curve") == 5
    page.evaluate(f"{chip}.dispatchEvent(new MouseEvent('dblclick', {{bubbles: true}}))")
    assert page.evaluate("document.querySelectorAll('.toggles input:not(:checked)').length") == 0


def test_differences_leave_out_the_reference(page: Browser) -> None:
    choose(page, 0, 3)
    before = count(page, ".panel .curve")
    page.evaluate("document.querySelector('[data-mode=difference]').click()")
    assert count(page, ".panel .curve") == before - 5
    assert count(page, ".panel .curve.closure-kinetic") == 0
    assert page.evaluate(f"{PANELS}[0].querySelector('h4').textContent") == "Δρ density"


def test_tables_are_sorted_within_their_families(page: Browser) -> None:
    read = (
        "[...document.querySelectorAll('#fields tbody')].map(body => [...body.rows].slice(1)"
        ".map(row => row.cells[1].textContent.trim()))"
    )
    button = "document.querySelectorAll('#fields thead button')[1].click()"
    whole = [sorted(body) for body in page.evaluate(read)]
    for ascending in (True, False):
        page.evaluate(button)
        bodies = page.evaluate(read)
        assert [sorted(body) for body in bodies] == whole
        for body in bodies:
            values = [float(one) for one in body]
            assert values == sorted(values, reverse=not ascending)
    heading = "document.querySelectorAll('#fields thead th')[1].getAttribute('aria-sort')"
    assert page.evaluate(heading) == "descending"


def test_the_player_moves_the_slider_and_stops(page: Browser) -> None:
    button = "document.querySelector('.player button')"
    page.evaluate(f"{button}.click()")
    assert page.evaluate(f"{button}.getAttribute('aria-label')") == "Pause"
    slider = "document.querySelector('.player input')"
    moved = f"new Promise(done => setTimeout(() => done({slider}.value), 450))"
    assert page.evaluate(moved) == "0"  # from the last time to the first
    page.evaluate(f"{button}.click()")
    assert page.evaluate(moved) == "0"
    assert page.complaints == []


def test_the_values_under_the_pointer_are_told(page: Browser) -> None:
    choose(page, 0, 0)
    page.evaluate(
        "{ const svg = document.querySelector('.panel svg'), box = svg.getBoundingClientRect();"
        "svg.dispatchEvent(new PointerEvent('pointermove',"
        "{clientX: box.left + box.width / 2, clientY: box.top + 20})); }"
    )
    assert page.evaluate("document.querySelector('.tip').textContent").startswith("x = ")
    assert count(page, ".tip div") == 4


def test_the_button_changes_the_theme(page: Browser) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.evaluate("document.querySelector('.theme').click()")
    assert page.evaluate(paper) != light
    page.evaluate("document.querySelector('.theme').click()")
    assert page.evaluate(paper) == light
