"""Checks of one field name the type, the field, its value and the mend."""

import dataclasses
import math

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.require import (
    require,
    require_at_least,
    require_between,
    require_not_negative,
    require_one_of,
    require_positive,
    require_share,
    require_whole,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    rate: float = 0.5
    count: int = 3
    form: str = "round"


def test_a_refused_field_is_told_with_type_value_and_mend():
    with pytest.raises(InputError) as error:
        require(False, Settings(form="flat"), "form", 'must be "round" or "square"')
    assert str(error.value) == 'Settings.form=\'flat\': must be "round" or "square".'


def test_a_condition_that_holds_passes():
    require(True, Settings(), "form", "must be anything")


def test_a_check_of_several_fields_names_the_first_that_fails():
    with pytest.raises(InputError, match=r"^Settings\.count=3: must be at least 4\.$"):
        require_at_least(4, Settings(rate=7.0), "rate", "count")


def test_a_word_that_is_not_known_is_told_with_those_that_are():
    require_one_of(iter(("flat", "round")), Settings(), "form")
    with pytest.raises(InputError) as error:
        require_one_of(iter(("flat", "square")), Settings(), "form")
    assert str(error.value) == 'Settings.form=\'round\': must be "flat" or "square".'


@pytest.mark.parametrize(
    ("check", "accepted", "refused"),
    [
        (lambda owner: require_at_least(2, owner, "rate"), (2, math.inf), (1, 1.9)),
        (
            lambda owner: require_positive(owner, "rate"),
            (1e-9, 5),
            (0.0, -1.0, math.inf),
        ),
        (lambda owner: require_not_negative(owner, "rate"), (0, 5), (-1e-9, math.inf)),
        (lambda owner: require_share(owner, "rate"), (0.0, 1), (-0.1, 1.1)),
        (
            lambda owner: require_between(0.5, 2, owner, "rate"),
            (0.5, 2, 2.0, (0.5, 1.0)),
            (0.4, 2.1, 10**400, "1", None, True, (0.5, 3.0), (1.0, math.nan)),
        ),
        (
            lambda owner: require_whole(-1, 9, owner, "rate"),
            (-1, 9, np.int64(3), (0, 1)),
            (-2, 10, 10**5000, 1.0, True, "1", None, (1, 10), (1, 2.0)),
        ),
    ],
)
def test_numbers_at_the_limits_pass_and_those_beyond_are_refused(
    check, accepted, refused
):
    for value in accepted:
        check(Settings(rate=value))
    for value in (*refused, math.nan):
        with pytest.raises(InputError, match=r"^Settings\.rate="):
            check(Settings(rate=value))


def test_a_value_of_any_length_is_told_in_one_short_line():
    for value in ("x" * 10**6, 10**5000, [[0] * 1000] * 1000):
        with pytest.raises(
            InputError, match=r"^Settings\.form=.*: must be short\.$"
        ) as told:
            require(False, Settings(form=value), "form", "must be short")
        assert len(str(told.value)) < 200
