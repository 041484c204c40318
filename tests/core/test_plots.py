"""Figures: one inline SVG that follows the page, with alt text, data and ids of its own."""

import re

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mstlib import plots


@pytest.fixture(autouse=True)
def _book_style():
    with matplotlib.rc_context({"backend": "agg"}):
        plots.style()
        yield


def draw(scale=1.0, **show):
    fig, ax = plt.subplots()
    ax.plot([0, 1, 2], [0, scale, 0], marker="o")
    ax.plot([0, 1, 2], [1, 1, 1], color="black")
    ax.set(xlabel="time step", ylabel="potential")
    ax.imshow(np.eye(4), extent=(0, 1, 0, 1))
    return plots.show(fig, **{"alt": "A tent", **show})


def ids(figure):
    return set(re.findall(r' id="([^"]+)"', figure.svg))


def test_show_gives_html_and_text_only():
    figure = draw()
    assert repr(figure) == "Figure: A tent"
    assert figure._repr_html_().startswith('<div class="mst-figure"')
    assert [name for name in dir(figure) if name.startswith("_repr_")] == ["_repr_html_"]


def test_same_figure_gives_same_bytes():
    assert draw().svg == draw().svg


def test_black_follows_the_page_and_the_background_is_clear():
    svg = draw().svg
    assert "#000000" not in svg
    assert "stroke: currentColor" in svg
    assert 'fill="currentColor"' in svg.split(">")[0]  # text: Matplotlib leaves black unsaid
    assert "fill: #ffffff" not in svg


def test_a_figure_styles_nothing_but_itself():
    """A style sheet in it would be the page's, and bend the lines of every other figure."""
    svg = draw().svg
    assert "<style" not in svg
    assert "stroke-linejoin: round; stroke-linecap: butt" in svg.split(">")[0]


def test_alt_text_is_there_and_escaped():
    figure = draw(alt='rate < 1 & "soft" reset')
    assert 'role="img" aria-label="rate &lt; 1 &amp; &quot;soft&quot; reset"' in figure.svg


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_empty_alt_is_refused(alt):
    with pytest.raises(ValueError, match="alt text"):
        draw(alt=alt)


def test_ids_of_two_figures_never_meet_and_every_reference_resolves():
    one, two = draw(), draw(scale=2.0)
    assert ids(one)
    assert not ids(one) & ids(two)
    assert not ids(one) & ids(draw(alt="The same tent, told otherwise"))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', one.svg)) == ids(one)


def test_nothing_is_fetched_and_no_date_or_version_is_left():
    svg = draw().svg
    addresses = set(re.findall(r"https?://[^\"' >]+", svg))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<metadata" not in svg
    assert "<?xml" not in svg


def test_show_closes_the_figure():
    before = plt.get_fignums()
    draw()
    assert plt.get_fignums() == before


def test_table_lists_the_data():
    html = draw(table={"T": [4, 8], "error <": np.array([0.12345, 0.5])})._repr_html_()
    assert "<details><summary>" in html
    assert "<td>4</td><td>0.123</td>" in html
    assert "<td>8</td><td>0.5</td>" in html
    assert "error &lt;" in html
    assert "<details" not in draw()._repr_html_()


def test_ragged_table_is_refused():
    with pytest.raises(ValueError, match="T: 2, error: 1"):
        draw(table={"T": [4, 8], "error": [0.1]})


def test_raster_draws_each_spike_where_it_fell():
    spikes = np.zeros((5, 3))
    spikes[0, 2] = spikes[4, 1] = 1
    fig, ax = plt.subplots()
    plots.raster(ax, spikes)
    x, y = ax.lines[0].get_data()
    starts = set(zip(x[::3], (y[::3] + y[1::3]) / 2, strict=True))
    assert starts == {(1.0, 2.0), (5.0, 1.0)}
    assert ax.get_xlabel() == "time step"
    plt.close(fig)


def test_raster_refuses_other_shapes():
    fig, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"\(T, N\), got \(5,\)"):
        plots.raster(ax, np.zeros(5))
    plt.close(fig)


def test_with_error_draws_the_band():
    fig, ax = plt.subplots()
    plots.with_error(ax, [1, 2], [0.5, 0.6], [0.1, 0.2], label="soft")
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.4)
    assert band[:, 1].max() == pytest.approx(0.8)
    plt.close(fig)


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("page", ["#ffffff", "#14181e"])
@pytest.mark.parametrize("colour", plots.CYCLE[:4])
def test_main_colours_stand_out_on_light_and_dark(colour, page):
    light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3
