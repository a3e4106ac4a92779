"""What processes agree on; others are played by a class that answers for them."""

import dataclasses

import numpy as np
import pytest

from dst_jax.digests import json_sha256
from dst_jax.errors import InputError, is_told_to_all
from dst_jax.train import Pod, StoppedElsewhere, this_pod
from dst_jax.train.pod import Ballot


@dataclasses.dataclass(frozen=True)
class Among(Pod):
    """One process of three, in whose place the others' answers are given."""

    index: int = 0
    count: int = 3
    others: tuple = ()

    def gather(self, values):
        return np.stack([np.asarray(values), *self.others])


def test_one_process_is_a_pod_of_its_own():
    pod = this_pod()
    assert pod == Pod(index=0, count=1) and pod.writes
    assert Ballot(pod).ask(15, 0) == (15, 0)
    np.testing.assert_array_equal(pod.gather([1, 2]), [[1, 2]])
    with pytest.raises(ZeroDivisionError), pod.together("dividing"):
        _ = 1 / 0


def test_the_first_of_several_alone_writes():
    assert [Pod(index, 3).writes for index in range(3)] == [True, False, False]


def test_what_fails_here_is_told_as_it_is():
    pod = Among(others=(np.uint8(0), np.uint8(0)))
    alone = InputError("the disk is full")
    with pytest.raises(InputError) as error, pod.together("saving"):
        raise alone
    assert error.value is alone and is_told_to_all(alone)


def test_what_fails_in_another_process_fails_here():
    pod = Among(others=(np.uint8(0), np.uint8(1)))
    line = "process 2 failed while saving; see its own line"
    with pytest.raises(StoppedElsewhere, match=line), pod.together("saving"):
        pass


def test_what_fails_nowhere_goes_on():
    done = []
    with Among(others=(np.uint8(0), np.uint8(0))).together("saving"):
        done.append(1)
    assert done == [1]


def rows(**values):
    """The digests of a process as `require_same` gathers them."""
    digests = [bytes.fromhex(json_sha256(value)) for value in values.values()]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)


@pytest.mark.parametrize(
    ("theirs", "named"),
    [((7, 2), "configuration"), ((1, 7), "data"), ((7, 7), "configuration and data")],
)
def test_a_process_with_other_inputs_is_named(theirs, named):
    same, other = rows(a=1, b=2), rows(a=theirs[0], b=theirs[1])
    pod = Among(others=(same, other))
    line = f"process 2 has other {named} than process 0; give all processes the same"
    with pytest.raises(InputError, match=line):
        pod.require_same({"configuration": 1, "data": 2})


def test_processes_with_the_same_inputs_go_on():
    asked = []

    class Asked(Among):
        def gather(self, values):
            asked.append(values)
            return super().gather(values)

    Asked(others=(rows(a=1, b=2),) * 2).require_same({"configuration": 1, "data": 2})
    # They have compared what each of them has, and once.
    np.testing.assert_array_equal(asked, [rows(a=1, b=2)])
