"""Every page of the built book, in a real browser."""

import pytest
from contrast import MEASURE
from pages import every_page, on_every_page, settle

ROLES = {
    "button", "checkbox", "combobox", "link", "listbox", "radio", "searchbox", "slider",
    "spinbutton", "switch", "textbox",
}  # fmt: skip


@every_page
def test_needs_no_network_and_throws_nothing_as_a_file(book, name):
    with book.open(name, scheme="file") as page:
        settle(page)
        assert page.locator("h1").first.inner_text().strip()
        # `open` fails on every request to another machine, missing file and error.


@on_every_page
def test_needs_no_network_and_throws_nothing(page):
    settle(page)
    assert page.locator("h1").first.inner_text().strip()
    # Closing the page, after the last test on it, fails on all that went wrong meanwhile.


@on_every_page
@pytest.mark.parametrize("width", [390, 1280])
def test_fits_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@on_every_page
def test_pictures_say_what_they_show(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('.bd-article :is(img, svg, canvas)')]
            .filter(e => !e.closest('[aria-hidden=true], button, mjx-container'))
            .filter(e => !e.parentElement.closest('svg'))
            .filter(e => !(e.getAttribute('alt') || e.getAttribute('aria-label') ||
                           e.querySelector?.(':scope > title')?.textContent || '').trim())
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert not nameless


@on_every_page
def test_every_control_has_a_name(page):
    """The name that the browser computes for a screen reader."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    controls = [n for n in nodes if not n["ignored"] and n["role"]["value"] in ROLES]
    assert len(controls) > 10
    nameless = [n for n in controls if not n.get("name", {}).get("value", "").strip()]
    assert [(n["role"]["value"], n["backendDOMNodeId"]) for n in nameless] == []


@on_every_page
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_is_accessible(page, axe, mode):
    page.emulate_media(color_scheme=mode)
    page.wait_for_function("mode => document.documentElement.dataset.theme === mode", arg=mode)
    page.evaluate("document.getAnimations().forEach(a => a.finish())")  # colours change slowly
    assert not axe(page)


@on_every_page
def test_keyboard_reaches_every_control(page):
    wanted = page.evaluate(
        """() => {
            const all = 'a[href], button, input, select, textarea, summary, [tabindex="0"]';
            window.controls = [...document.querySelectorAll(all)].filter(
                e => e.checkVisibility({visibilityProperty: true}) && !e.disabled &&
                     e.tabIndex >= 0 && !e.closest('[inert], dialog:not([open])') &&
                     !(e.type === 'radio' && !e.checked));
            window.reached = new Set();
            document.addEventListener('focusin', e => window.reached.add(e.target));
            return window.controls.length;
        }"""
    )
    assert wanted > 10
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
    missed = page.evaluate(
        """() => window.controls.filter(e => !window.reached.has(e))
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert not missed


@on_every_page
def test_texts_and_marks_stand_out(page):
    page.locator(".bd-article details").evaluate_all("es => es.forEach(e => { e.open = true })")
    page.evaluate("document.getAnimations().forEach(a => a.finish())")  # they fade in
    for mode in ("light", "dark"):
        page.evaluate("mode => { document.documentElement.dataset.theme = mode }", mode)
        found = page.evaluate(MEASURE)
        assert found["texts"] > 20
        assert found["marks"] > 0 or not page.locator(".mst-explorer svg").count()
        assert found["faults"] == [], mode


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_a_page(book, scheme):
    # Opened as a file, the search may not read the pages it found to quote from them, and the
    # browser logs that; it finds them all the same.
    with book.open("search", scheme=scheme, query="?q=threshold", strict=scheme == "http") as page:
        # The results appear one by one.
        page.locator("#search-results li a", has_text="Notation").wait_for()


def test_search_opens_from_the_keyboard(book):
    with book.open("book/notation") as page:
        page.keyboard.press("Control+k")
        page.keyboard.type("soft reset")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=soft+reset")
        page.locator("#search-results li a").first.wait_for()


def test_dark_mode_can_be_chosen_and_is_kept(book):
    with book.open("book/notation", mode="light") as page:
        for _ in range(3):
            if page.locator("html").get_attribute("data-theme") == "dark":
                break
            page.locator(".theme-switch-button:visible").first.click()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.reload()
        assert page.locator("html").get_attribute("data-theme") == "dark"
