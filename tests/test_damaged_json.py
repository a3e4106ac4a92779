"""Whatever damages a bundle's files or a student's, one line says so, and soon."""

import contextlib
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dst_jax.arch import ZOO, AreaCrop, read_spec, spec_from_json, spec_to_json
from dst_jax.bundle import load_bundle, save_bundle
from dst_jax.decode import to_json
from dst_jax.errors import InputError
from dst_jax.track.config import (
    SiamFCTracking,
    SiamRPNTracking,
    tracking_from_json,
    tracking_to_json,
)
from tests import bundles
from tests.bundles import as_format_1

SLOW = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ODD = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            1,
            -1,
            2,
            3.5,
            -0.0,
            1e30,
            -1e30,
            1e-320,
            2**63,
            -(2**63),
        ),
        *("", "relu", "x" * 500, "\ud800", "NaN", [], [[]], {}, {"kind": None}),
        *({"kind": []}, {"kind": "siamrpn"}, [0] * 300, {"a": {"b": {}}}),
    ]
)


def places(values, path=()):
    """The path to each value, those with others inside too."""
    if path:
        yield path
    inner = values.items() if isinstance(values, dict) else ()
    inner = enumerate(values) if isinstance(values, list) else inner
    for name, one in list(inner):
        yield from places(one, (*path, name))


def damaged(values, place, odd, act):
    """JSON of which one value is deleted, replaced, or comes twice."""
    values = json.loads(json.dumps(values))
    *way, last = place
    owner = values
    for name in way:
        owner = owner[name]
    if act == "delete":
        del owner[last]
    elif act == "replace":
        owner[last] = odd
    elif isinstance(owner, list):
        owner.insert(last, odd)
    else:
        owner[f"{last}_"] = odd
    return values


ACTS = st.sampled_from(["delete", "replace", "replace", "add"])


def soon(read):
    """Whether something can be read; it takes no error but the one and a short time."""
    # Of this process, because others may keep it waiting.
    began = time.process_time()
    found = None
    try:
        found = read()
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 1500
    assert time.process_time() - began < 5.0
    return found


STUDENTS = [
    spec_to_json(ZOO["tiny"]),
    spec_to_json(ZOO["tiny-siamrpn"]),
    {"format_version": 2, "tracker": spec_to_json(ZOO["siamrpn-depthwise"])},
    spec_to_json(ZOO["tiny"])
    | {
        "input": {
            **spec_to_json(ZOO["tiny"])["input"],
            "area": to_json(AreaCrop()),
        }
    },
]


@SLOW
@given(st.data())
def test_a_damaged_student_is_read_or_told(tmp_path, data):
    values = data.draw(st.sampled_from(STUDENTS))
    place = data.draw(st.sampled_from(list(places(values))))
    changed = damaged(values, place, data.draw(ODD), data.draw(ACTS))
    path = tmp_path / "student.json"
    path.write_text(json.dumps(changed))
    spec = soon(lambda: read_spec(str(path)))
    if spec is not None:
        # What was read is an architecture like any other.
        path.write_text(json.dumps(spec_to_json(spec)))
        assert read_spec(str(path)) == spec


@SLOW
@given(st.data())
def test_damaged_settings_are_read_or_told(data):
    kind = data.draw(st.sampled_from([SiamFCTracking, SiamRPNTracking]))
    values = tracking_to_json(kind(lost_below=0.1))
    place = data.draw(st.sampled_from(list(places(values))))
    changed = damaged(values, place, data.draw(ODD), data.draw(ACTS))
    tracking = soon(lambda: tracking_from_json(changed))
    if tracking is not None:
        assert tracking_from_json(tracking_to_json(tracking)) == tracking


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same bundle in both formats."""
    root = tmp_path_factory.mktemp("bundles")
    folders = [save_bundle(bundles.small(), root / name) for name in ("new", "old")]
    as_format_1(folders[1])
    return folders


@contextlib.contextmanager
def with_content(path, content):
    """Gives a file another content for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


NAMES = st.sampled_from(["spec.json", "card.json", "tracking.json"])


@SLOW
@given(st.data(), NAMES, st.booleans())
def test_a_damaged_bundle_is_read_or_told(folders, data, name, old):
    path = folders[old] / name
    values = json.loads(path.read_text())
    place = data.draw(st.sampled_from(list(places(values))))
    changed = damaged(values, place, data.draw(ODD), data.draw(ACTS))
    with with_content(path, json.dumps(changed).encode()):
        loaded = soon(lambda: load_bundle(folders[old]))
    # The digests leave room for no change at all.
    assert old or loaded is None or changed == values


@SLOW
@given(st.data(), NAMES, st.booleans(), st.sampled_from(["flip", "cut", "double"]))
def test_damaged_bytes_of_a_bundle_are_read_or_told(folders, data, name, old, act):
    path = folders[old] / name
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if act == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif act == "cut":
        del content[at:]
    else:
        content[at:at] = content
    with with_content(path, bytes(content)):
        loaded = soon(lambda: load_bundle(folders[old]))
    if loaded is not None and not old:
        assert loaded.spec == bundles.SPEC and loaded.card["seed"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested over"),
        ('{"backbone": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested over"),
        ('{"backbone": ' + "9" * 5000 + "}", "not JSON"),
        ('{"backbone": 1' + 400 * "0" + "}", "backbone=1000"),
        (
            '{"backbone": {"layers": [' + "{}," * 10**5 + "{}]}}",
            "layers: 100,001",
        ),
        (
            '{"backbone": {"layers": [' + "[]," * 9_999 + "[]]}}",
            r"layers\[0\]=\[\]: exp",
        ),
        (
            '{"backbone": null}',
            "backbone=None: expected fields of Chain or TokenBackboneSpec",
        ),
        ('{"tracker": null}', "spec=None: expected the fields of TrackerSpec"),
        ("{}", "field 'backbone' is missing"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        (" " * 10**7, "over 8 MB of JSON"),
    ],
    ids=range(12),
)
def test_what_no_student_is_takes_no_time(tmp_path, text, message):
    path = tmp_path / "student.json"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(InputError, match=rf"student\.json: .*{message}"):
        read_spec(str(path))
    assert time.process_time() - began < 5.0


def student(place, value):
    values = spec_to_json(ZOO["tiny-siamrpn"])
    *way, last = place
    owner = values
    for name in way:
        owner = owner[name]
    owner[last] = value
    return values


LAYER = ("backbone", "layers", 1)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("head",), None, "spec.head=None: expected fields of CorrelationHeadSpec or "),
        (("head", "form"), [], r"spec.head.form=\[\]: expected"),
        (("head", "features"), 10**9, "features=1000000000: must be a whole number"),
        (("head", "features"), 65_536, "4 times features times anchors"),
        (("head", "scales"), [10**6], r"scales=\(1000000,\): must be a whole number"),
        (("head", "ratios"), [1.0] * 101, "name from 1 to 100"),
        (("input", "search_px"), 10**6, "search_px=1000000: must be a whole number"),
        (("input", "scale"), 0.0, "scale=0.0: must lie in"),
        ((*LAYER, "features"), 1e30, "features=1e\\+30: expected int"),
        ((*LAYER, "features"), 70_000, r"layers\[1\]: ConvSpec.features=70000: must"),
        ((*LAYER, "kernel"), 10**6, "kernel=1000000: must be a whole number"),
        ((*LAYER, "padding"), -(10**6), "padding=-1000000: must be a whole number"),
        ((*LAYER, "activation"), {}, r"activation=\{\}: expected \('relu', 'none'\)"),
        (("backbone", "norm_epsilon"), 0.0, "norm_epsilon=0.0: must lie in"),
        (("backbone", "norm_momentum"), 1.5, "norm_momentum=1.5: must lie in"),
        (("backbone", "norm_epsilon"), 10**400, "must be finite"),
    ],
)
def test_what_no_network_has_is_named(place, value, message):
    with pytest.raises(InputError, match=message):
        spec_from_json(student(place, value))
