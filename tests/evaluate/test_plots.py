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


def test_a_name_keeps_its_look_and_no_two_share_colour_dashes_or_marker():
    names = ["x", "teacher", "dull NOKD", "dull-tsskd", "intelligent TSsKD", "still"]
    looks = plots.name_looks(names)
    assert list(looks) == names
    for part in ("colour", "dash", "marker"):
        assert len({getattr(look, part) for look in looks.values()}) == len(names)
    assert plots.name_looks(["dull-tsskd"]) == {"dull-tsskd": looks["dull-tsskd"]}


def test_the_rows_of_both_students_are_told_apart_without_colour():
    rows = ("NOKD", "TSKD", "TSsKD")
    names = [f"{s} {row}" for s in ("dull", "intelligent") for row in rows]
    looks = plots.name_looks(["teacher", "still", *names])
    assert len({look.dash for look in looks.values()}) == 8
    assert len({look.marker for look in looks.values()}) == 8


def test_of_many_trackers_no_two_share_colour_and_dashes():
    looks = plots.name_looks([f"tracker {n}" for n in range(40)])
    assert len({(look.colour, look.dash) for look in looks.values()}) == 40


def test_two_names_of_one_role_have_looks_of_their_own():
    looks = plots.name_looks(["dull TSKD", "tskd/dull"])
    assert looks["dull TSKD"] != looks["tskd/dull"]


def test_curves_and_legends_have_the_dashes_of_their_trackers(scores):
    figure = plots.success_plot(scores)
    best, still = figure.axes[0].lines
    assert best.get_linestyle() != still.get_linestyle()
    drawn = [line.get_linestyle() for line in figure.legends[0].get_lines()]
    assert drawn == [best.get_linestyle(), still.get_linestyle()]


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


def test_a_response_lies_on_the_part_of_the_image_that_it_answers_for():
    # Five cells of 8 px reach 20 px to either side of the middle of 60 x 40.
    cells = np.zeros((5, 5))
    cells[1, 3] = 2.0
    figure = plots.response_over(IMAGE, cells, stride=8, box=np.array([30, 20, 8, 6.0]))
    (axes,) = figure.axes
    image, response = axes.images
    assert image.get_array().shape == (40, 60)
    assert response.get_extent() == [9.5, 49.5, 39.5, -0.5]
    assert response.get_array()[1, 3, 3] == pytest.approx(
        0.75
    )  # dense where it is high
    assert response.get_array()[0, 0, 3] == pytest.approx(0.25)
    (cross,) = axes.lines
    # A column right of the middle and a row above it, in imshow's coordinates.
    assert (*cross.get_xdata(), *cross.get_ydata()) == (29.5 + 8, 19.5 - 8)
    assert axes.patches[1].get_xy() == (25.5, 16.5)


def test_a_response_that_is_the_same_everywhere_can_be_drawn():
    figure = plots.response_over(IMAGE, np.ones((3, 3)), stride=8)
    assert plots.figure_to_png(figure, dpi=40).startswith(b"\x89PNG")


def test_overlaps_are_lines_over_frames_with_marks_and_gaps():
    overlaps = {"mine": np.array([1.0, np.nan, 0.5]), "yours": np.array([1.0, 0.25, 0])}
    figure = plots.overlap_plot(overlaps, marks=[2])
    mark, mine, yours = figure.axes[0].lines
    assert list(mark.get_xdata()) == [2, 2]
    np.testing.assert_array_equal(mine.get_ydata(), [1.0, np.nan, 0.5])
    np.testing.assert_array_equal(yours.get_xdata(), [0, 1, 2])
    assert legend_texts(figure) == ["mine", "yours"]


def test_a_box_lies_on_the_pixels_that_it_covers():
    boxes = {"dull": np.array([[10.0, 20.0, 4.0, 6.0], [np.nan] * 4])}
    figure = plots.film_strip([IMAGE, IMAGE], boxes, truth=TRUTH[:2], labels=["1", "2"])
    first, second = figure.axes
    drawn = first.patches[3]  # over its halo, and both over the truth's
    # It covers pixels 8-11 by 17-22, whose outer edges imshow has at -0.5 and +0.5.
    assert drawn.get_xy() == (7.5, 16.5)
    assert (drawn.get_width(), drawn.get_height()) == (4.0, 6.0)
    look = plots.name_looks(["dull"])["dull"]
    assert to_hex(drawn.get_edgecolor()).upper() == look.colour
    assert drawn.get_linestyle() == look.dash
    assert len(first.patches) == 4
    assert len(second.patches) == 2  # the truth alone: NaN is not drawn
    assert legend_texts(figure) == ["dull", "ground truth"]


def test_a_frame_is_cut_to_the_part_around_its_boxes():
    # Boxes from 40 to 60 and 40 to 50 in 200 x 100: the least part is 35 %, 70 x 35.
    image = np.zeros((100, 200, 3), np.uint8)
    box, truth = np.array([45.0, 45, 10, 10]), np.array([55.0, 45, 10, 10])
    (axes,) = plots.film_frame(image, {"mine": box}, truth=truth).axes
    assert axes.get_xlim() == pytest.approx((50 - 35 - 0.5, 50 + 35 - 0.5))
    assert axes.get_ylim() == pytest.approx((45 + 17.5 - 0.5, 45 - 17.5 - 0.5))


def test_a_frame_is_whole_where_boxes_are_far_apart_or_absent():
    image, absent = np.zeros((100, 200, 3), np.uint8), np.full(4, np.nan)
    far = {"a": np.array([10.0, 10, 10, 10]), "b": np.array([190.0, 90, 10, 10])}
    for boxes in (far, {"a": absent}):
        (axes,) = plots.film_frame(image, boxes, truth=absent).axes
        assert axes.get_xlim() == (-0.5, 199.5) and axes.get_ylim() == (99.5, -0.5)


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
    address = plots.figure_to_jpeg_base64(figure, dpi=40)
    assert address.startswith("data:image/jpeg;base64,/9j/")


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
    overlaps = plots.overlap_plot({name: np.ones(2)})
    for figure in (curves, overlaps, plots.film_legend(plots.name_looks([name]))):
        assert plots.figure_to_svg(figure).startswith("<svg")
