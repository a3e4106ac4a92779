"""The yardstick in PyTorch computes what it is compared with."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from dst_jax import losses
from dst_jax.arch import named, with_widths
from dst_jax.distill import DistillConfig, Pair, Point, Soft, with_row
from dst_jax.ops.augment import AugmentConfig
from dst_jax.ops.crop import crop_resize
from dst_jax.ops.labels import target_labels

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def scripts(script):
    names = ("bench_step", "step_sides", "torch_crops", "torch_terms", "torch_dlf")
    return types.SimpleNamespace(**{n: script(n) for n in names})


TSSKD = {"ts", "ah", "str", "ks"}
DLF = {"gt", "point", "pair"}


@pytest.mark.optax
@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "row", "terms"),
    [
        ("tiny", "TSsKD", TSSKD),
        ("tiny-siamrpn", "TSsKD", TSSKD),
        ("mini-siamrpnpp", "TSsKD", TSSKD),
        ("tiny-siamdw", "gt+point+pair", DLF),
        ("tiny-siamdw", "ah+ts+str+ks+point", TSSKD | {"point"}),
    ],
)
def test_one_step_in_pytorch_equals_ours(scripts, family, row, terms):
    sides, windows = scripts.step_sides, AugmentConfig()
    if family == "mini-siamrpnpp":
        teacher, dull, intelligent = scripts.bench_step.families()[family]
    elif family == "tiny-siamdw":
        teacher = intelligent = named(family)
        chain = teacher.backbone
        *front, last = chain.layers
        layers = (*front, dataclasses.replace(last, features=8, inner=2))
        narrow = dataclasses.replace(chain, layers=layers)
        dull = dataclasses.replace(teacher, backbone=narrow)
        windows = scripts.bench_step.SIAMDW_WINDOWS
    else:
        teacher = named(family)
        widths = (2, 4, 4, 4, 4), (4, 4, 6, 6, 4)
        dull, intelligent = (with_widths(teacher, w) for w in widths)
    students = {"dull": dull, "intelligent": intelligent}
    workload = sides.Workload(teacher, students, 2, windows, row=row)
    batch = sides.host_batch(workload)
    ours = sides.make_ours(workload, batch)
    differences = sides.compare_answers(ours)
    assert differences.keys() == {f"{n}/answer" for n in ("teacher", *students)}
    differences |= sides.compare(ours, batch)
    names = {name.split("/")[1] for name in differences}
    assert names == terms | {"answer", "gradient", "update"}
    scripts.bench_step.check(differences, 1e-4)
    targets = sides.our_targets(ours, "cpu")
    assert (targets.label == 1).any() and (targets.label == 0).any()


def test_a_difference_ends_the_benchmark(scripts):
    with pytest.raises(SystemExit, match="differ in dull/ts"):
        scripts.bench_step.check({"dull/ts": 2e-4, "dull/ah": 1e-6}, 1e-4)
    with pytest.raises(SystemExit, match="differ in dull/ts"):
        scripts.bench_step.check({"dull/ts": float("nan")}, 1e-4)


def test_an_objective_that_pytorch_does_not_have_ends_the_benchmark(scripts):
    known = scripts.torch_terms.known_terms
    for row in ("TSKD", "gt+point+pair", "TSsKD"):
        assert known(with_row(DistillConfig(), row))
    for term in (Soft(temperature=2.0), Pair(form="gram"), Point(resize=True)):
        with pytest.raises(SystemExit, match="has no term mine"):
            known(DistillConfig({"mine": term}))
    with pytest.raises(SystemExit, match="no warm-up"):
        known(DistillConfig(warmup_epochs=1.0))


def test_both_ways_of_pytorch_cut_the_crops_that_we_cut(scripts):
    step = scripts.torch_crops
    # A smooth picture: OpenCV interpolates between steps of 1/32 pixel.
    y, x = np.mgrid[:60, :60]
    patch = np.stack([2 * x + y, x + 2 * y, 120 + x - y], axis=-1).astype(np.uint8)
    centre, size = np.array([[29.3, 31.2]]), np.array([[38.5, 41.0]])
    ours = jax.jit(crop_resize, static_argnames=("out_px",))(
        patch, *np.float32([centre[0], size[0]]), out_px=40, fill=np.zeros(3, "f4")
    )
    window = step.Window(centre, size)
    by_opencv = step.cut(patch[None], window, 40)[0]
    matrix = step.window_matrix(window, 60)
    together = step.cut_together(torch.from_numpy(patch[None]), matrix, 40)[0]
    for found, most in ((by_opencv, 1.0), (together, 1e-2)):
        gap = np.abs(found.permute(1, 2, 0).numpy() - np.asarray(ours))
        assert gap.max() <= most


def test_pytorch_labels_the_cell_that_is_nearest_to_the_target(scripts):
    rng = np.random.default_rng(0)
    boxes = rng.uniform(80.0, 175.0, (50, 4)).astype(np.float32)
    at = {"side": 17, "stride": 8, "search_px": 255, "radius_px": 16.0}
    ours = target_labels(centres=boxes[:, :2], **{**at, "stride": 8.0})
    found = scripts.torch_terms.nearest_targets(torch.from_numpy(boxes), **at)
    np.testing.assert_array_equal(found.label.numpy(), np.asarray(ours))
    assert found.label.sum(0).gt(0).sum() > 13  # targets move


def test_pytorch_has_the_terms_of_dlf(scripts):
    dlf, rng = scripts.torch_dlf, np.random.default_rng(0)
    shapes = {"template": 3, "search": 5}
    student, teacher = (
        {i: rng.standard_normal((2, n, n, c)).astype("f4") for i, n in shapes.items()}
        for c in (4, 6)
    )
    adapter = {
        "kernel": rng.standard_normal((4, 6)).astype("f4"),
        "bias": rng.standard_normal(6).astype("f4"),
    }
    adapters = dlf.make_adapters({"point": {"layer2": adapter}})
    assert jax.tree.all(
        jax.tree.map(
            np.array_equal,
            dlf.adapters_like_ours(adapters),
            {"point": {"layer2": adapter}},
        )
    )

    def answer(maps):
        nchw = {
            i: {"layer2": torch.from_numpy(m.transpose(0, 3, 1, 2).copy())}
            for i, m in maps.items()
        }
        return scripts.torch_terms.Answer(torch.zeros(1), None, **nchw)

    answers, layers = (answer(student), answer(teacher)), [("layer2", "layer2")]
    for images in ("both", "search"):
        seen = shapes if images == "both" else ["search"]
        pairs = [(student[i], teacher[i]) for i in seen]
        bent = [(s @ adapter["kernel"] + adapter["bias"], t) for s, t in pairs]
        wanted = {
            "point": sum(float(losses.point_distance(*p).mean()) for p in bent),
            "pair": sum(float(losses.pair_distance(*p).mean()) for p in pairs),
        }
        point = dlf.point(Point(images=images), layers, adapters["point"], answers)
        pair = dlf.pair(Pair(images=images), layers, answers)
        assert point.item() == pytest.approx(wanted["point"], rel=1e-5)
        assert pair.item() == pytest.approx(wanted["pair"], rel=1e-5)


def test_a_compiler_that_fails_leaves_the_other_sides(scripts, monkeypatch, capsys):
    bench, taken = scripts.bench_step, []

    def side(theirs, ours, batch, mode=""):
        def run(steps):
            taken.append((mode, steps))
            if mode == "broken":
                raise RuntimeError("no compiler\nmore")

        return run

    monkeypatch.setattr(bench, "make_theirs", lambda ours, **layout: None)
    monkeypatch.setattr(bench, "torch_side", side)
    sides = bench.sides_of(None, {}, ["eager", "compiled"], ["broken", "default"])
    assert list(sides) == ["PyTorch", "PyTorch compiled, default"]
    assert "PyTorch compiled, broken fails: no compiler\n" in capsys.readouterr().out
    assert taken == [("", 1), ("", 2), ("broken", 1), ("default", 1), ("default", 2)]


def test_the_report_has_a_ratio_to_the_faster_of_each_kind(scripts, capsys):
    bench = scripts.bench_step
    walls = {
        "dst_jax": [1.0, 2.0, 1.0],
        "PyTorch": [4.0, 4.0, 4.0],
        "PyTorch channels_last": [3.0, 3.0, 3.0],
        "PyTorch compiled, default": [1.5, 2.0, 2.0],
    }
    bench.report({n: bench.Times(w, w) for n, w in walls.items()}, 12)
    out = capsys.readouterr().out
    assert "dst_jax                    12.00 pairs/s  (6.00 to 12.00)" in out
    eager = "ratio dst_jax / PyTorch channels_last, wall: 3.00 (1.50 to 3.00 by round)"
    compiled = "dst_jax / PyTorch compiled, default, wall: 1.50 (1.00 to 2.00 by round)"
    assert eager in out and compiled in out and "/ PyTorch, wall" not in out


def test_each_round_begins_with_the_next_side(script):
    in_turn = script("step_timing").in_turn
    assert "".join(in_turn({"a": 1, "b": 2, "c": 3}, 4)) == "abcbcacababc"
    assert list(in_turn([], 2)) == []
