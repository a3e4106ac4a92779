import inspect
import subprocess
import sys

import pytest

from dst_jax import losses

PUBLIC = [f for name, f in vars(losses).items() if inspect.isfunction(f)]


def test_loading_the_losses_loads_neither_flax_nor_optax():
    code = (
        "import sys, dst_jax.losses; "
        "print([m for m in ('flax', 'optax', 'orbax', 'cv2') if m in sys.modules])"
    )
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("function", PUBLIC, ids=lambda f: f.__name__)
def test_optional_arguments_are_keywords_and_all_are_annotated(function):
    parameters = inspect.signature(function).parameters.values()
    for p in parameters:
        assert p.annotation is not p.empty, p.name
        if p.default is not p.empty:
            assert p.kind is p.KEYWORD_ONLY, p.name
    assert inspect.getdoc(function)
