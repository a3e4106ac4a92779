"""Figures: what they say, where boxes lie, and that they disturb nobody."""

import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_hex

from dst_jax.evaluate import OTB, Score, Truth, named_protocol, plots, score

TRUTH = np.array([[20.0 + 2 * t, 30.0, 8.0, 10.0] for t in range(6)])
IMAGE = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def scores():
    truths = {"a": TRUTH}
    still = {"a": np.repeat(TRUTH[:1], 6, axis=0)}
    return {"still": score(still, truths, OTB), "perfect": score(truths, truths, OTB)}


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_success_plot_draws_the_curves_and_ranks_by_auc(scores):
    figure = plots.success_plot(scores)
    assert legend_texts(figure) == ["perfect  0.952", "still  0.333"]
    best = figure.axes[0].lines[0]
    np.testing.assert_array_equal(best.get_xdata(), np.arange(21) / 20)
    np.testing.assert_array_equal(best.get_ydata(), [1.0] * 20 + [0.0])


def test_the_precision_plot_draws_the_curves_and_the_20_px_line(scores):
    figure = plots.precision_plot(scores)
    assert legend_texts(figure) == ["still  1.000", "perfect  1.000"]
    line = figure.axes[0].lines[1]
    np.testing.assert_allclose(line.get_ydata()[:3], [1 / 6, 1 / 6, 2 / 6])


def test_sequence_scores_are_plotted_too(scores):
    figure = plots.success_plot({"a": scores["still"].sequences["a"]})
    assert legend_texts(figure) == ["a  0.333"]


def test_the_plots_name_the_protocol_and_what_they_quote(scores):
    figure = plots.precision_plot(scores)
    assert figure.axes[0].get_title(loc="left") == "Precision by otb/got10k"
    assert figure.legends[0].get_title().get_text() == "tracker, P@20"


def test_normalised_precision_has_a_plot_with_a_line_at_a_fifth():
    truths, protocol = {"a": TRUTH}, named_protocol("lasot")
    figure = plots.norm_precision_plot({"perfect": score(truths, truths, protocol)})
    fifth, curve = figure.axes[0].lines
    assert list(fifth.get_xdata()) == [0.2, 0.2]
    np.testing.assert_allclose(curve.get_xdata(), np.arange(51) / 100)
    assert legend_texts(figure) == ["perfect  1.000"]


def test_a_curve_that_the_protocol_lacks_is_no_plot():
    truth = Truth(TRUTH, size=(100, 100))
    found = score({"a": TRUTH}, {"a": truth}, named_protocol("got10k"))
    with pytest.raises(ValueError, match="has no precision curve"):
        plots.precision_plot({"perfect": found})


def quoted(auc):
    return Score(OTB, {"success_auc": auc, "precision_20": 0.5, "op_50": 0.5}, {}, {})


def test_the_speed_plot_has_a_marker_and_a_name_per_tracker_over_a_log_axis():
    scores = {"slow $x$": quoted(0.6), "fast": quoted(0.5), "unknown": quoted(0.4)}
    figure = plots.speed_plot(scores, {"slow $x$": 8.0, "fast": 230.0})
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    places = [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines]
    assert places == [(8.0, 0.6), (230.0, 0.5)]
    assert len({line.get_marker() for line in axes.lines}) == 2
    assert [text.get_text() for text in axes.texts] == [r"slow \$x\$", "fast"]
    assert [text.xy for text in axes.texts] == places


def test_names_of_neighbours_in_the_speed_plot_do_not_meet():
    # Three points a name's width apart, and as far between slow and fast as in Fig. 1.
    speeds = {"SiamRPN": 90.0, "DSTrpn": 120.0, "DaSiamRPN": 160.0, "MDNet": 1.0}
    heights = {"SiamRPN": 0.642, "DSTrpn": 0.644, "DaSiamRPN": 0.641, "MDNet": 0.4}
    scores = {name: quoted(auc) for name, auc in heights.items()}
    figure = plots.speed_plot(scores, speeds)
    plots.figure_to_png(figure)  # lays the figure out
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_a_name_keeps_its_colour_and_no_two_share_one():
    names = ["x", "teacher", "dull NOKD", "dull-tsskd", "intelligent TSsKD", "still"]
    colours = plots.name_colours(names)
    assert list(colours) == names
    assert len(set(colours.values())) == len(names)
    assert plots.name_colours(["dull-tsskd"]) == {"dull-tsskd": colours["dull-tsskd"]}


def test_loss_curves_have_a_panel_per_term_and_a_line_per_student():
    steps = np.arange(1, 401)
    values = np.where(steps == 7, np.nan, 3.0)
    metrics = {
        "total": {"dull": (steps, values), "intelligent": (steps, values + 1)},
        "sharing": {"dull": (steps, values)},
    }
    figure = plots.loss_curves(metrics)
    total, sharing = figure.axes
    assert total.get_title(loc="left") == "total"
    assert (len(total.lines), len(sharing.lines)) == (4, 2)  # raw and running mean
    np.testing.assert_allclose(total.lines[1].get_ydata(), 3.0)
    np.testing.assert_allclose(total.lines[3].get_ydata(), 4.0)
    assert legend_texts(figure) == ["dull", "intelligent"]


def test_the_running_mean_is_that_of_the_neighbours():
    values = np.arange(300.0) ** 2
    figure = plots.loss_curves({"t": {"s": (np.arange(300), values)}})
    smooth = figure.axes[0].lines[1].get_ydata()
    assert smooth[100] == pytest.approx(np.mean(values[97:104]))
    assert smooth[0] == pytest.approx(np.mean(values[:4]))


def test_response_maps_share_a_scale_within_a_row():
    maps = {"teacher": np.eye(5), "dull": 3 * np.eye(5)}
    panel = plots.ResponsePanel(IMAGE, {"with W": maps, "without W": maps})
    figure = plots.response_maps([panel, panel])
    images = [axes.images[0] for axes in figure.axes if axes.images]
    maps_drawn = [image for image in images if image.get_array().shape == (5, 5)]
    assert len(maps_drawn) == 8 and len(images) == 10
    assert {image.get_clim() for image in maps_drawn} == {(0.0, 3.0)}
    free = plots.response_maps([panel], shared_scale=False)
    limits = {a.images[0].get_clim() for a in free.axes[1:] if a.images}
    assert limits == {(0.0, 1.0), (0.0, 3.0)}


def test_a_box_lies_on_the_pixels_that_it_covers():
    boxes = {"dull": np.array([[10.0, 20.0, 4.0, 6.0], [np.nan] * 4])}
    figure = plots.film_strip([IMAGE, IMAGE], boxes, truth=TRUTH[:2], labels=["1", "2"])
    first, second = figure.axes
    drawn = first.patches[1]  # over its halo
    # It covers pixels 8-11 by 17-22, whose outer edges imshow has at -0.5 and +0.5.
    assert drawn.get_xy() == (7.5, 16.5)
    assert (drawn.get_width(), drawn.get_height()) == (4.0, 6.0)
    assert to_hex(drawn.get_edgecolor()).upper() == plots.name_colours(["dull"])["dull"]
    assert len(first.patches) == 4
    assert len(second.patches) == 2  # the truth alone: NaN is not drawn
    assert legend_texts(figure) == ["dull", "ground truth"]


def test_svg_is_well_formed_stable_and_shares_no_identifier(scores):
    svgs = [
        plots.figure_to_svg(plots.success_plot(scores)),
        plots.figure_to_svg(plots.precision_plot(scores)),
    ]
    found = []
    for svg in svgs:
        root = ET.fromstring(svg)
        found.append({e.get("id") for e in root.iter() if e.get("id")})
        for element in root.iter():
            link = element.get("{http://www.w3.org/1999/xlink}href")
            assert link is None or link.removeprefix("#") in found[-1]
    assert found[0] and not found[0] & found[1]
    assert plots.figure_to_svg(plots.success_plot(scores)) == svgs[0]


def test_png_is_a_png_and_its_address_holds_it(scores):
    figure = plots.success_plot(scores)
    assert plots.figure_to_png(figure, dpi=40).startswith(b"\x89PNG")
    address = plots.figure_to_png_base64(figure, dpi=40)
    assert address.startswith("data:image/png;base64,iVBOR")


def test_scoring_loads_no_pictures_and_pictures_no_pyplot():
    code = (
        "import sys, dst_jax.evaluate, dst_jax.evaluate.metrics;"
        "assert not {'cv2', 'matplotlib', 'flax', 'torch'} & set(sys.modules);"
        "import dst_jax.evaluate.plots, dst_jax.evaluate.report;"
        "assert not {'cv2', 'matplotlib.pyplot', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", [r"$\frac$", "_mine", "$a$ $b", "\x1b\udcff", "[red]"])
def test_a_tracker_may_have_any_name(name):
    scores = {name: score({"a": TRUTH}, {"a": TRUTH}, OTB)}
    for plot in (plots.success_plot, plots.precision_plot):
        figure = plot(scores)
        (text,) = figure.legends[0].get_texts()
        assert not is_math_text(text.get_text())
        assert plots.figure_to_svg(figure).startswith("<svg")
    strip = plots.film_strip([IMAGE], {name: TRUTH[:1]}, labels=[name])
    assert len(strip.legends[0].get_texts()) == 1
    assert plots.figure_to_png(strip)[1:4] == b"PNG"
    curves = plots.loss_curves({name: {name: ([1, 2], [0.5, 0.25])}})
    panel = plots.ResponsePanel(IMAGE, {name: {name: np.eye(3)}}, title=name)
    for figure in (curves, plots.response_maps([panel])):
        assert plots.figure_to_svg(figure).startswith("<svg")
