"""Which trackers are one student's, one with several seeds, or the teacher."""

import dataclasses

from dst_jax.evaluate.page import Benchmark, Network
from dst_jax.workflows.pages.entries import make_entries
from dst_jax.workflows.pages.makers import Maker
from tests.evaluate.page.cases import scored

TEACHER = Maker("", "", 0, "sha", None, 100, 0.4, 900, None, "eigen", {})
DULL = Maker("dull", "NOKD", 0, "d0", "sha", 10, 0.04, 90, None, "eigen", {})


def dull(**changes):
    return dataclasses.replace(DULL, **changes)


def entries(**makers):
    networks = {name: Network(name, scored(0.5)) for name in makers}
    known = {name: maker for name, maker in makers.items() if maker is not None}
    return make_entries(networks, known)


def told(found):
    return [(one.name, one.student, one.row, len(one.networks)) for one in found]


def test_the_teacher_is_known_by_its_weights_and_comes_first():
    teacher, student = entries(mine=dull(), big=TEACHER)
    assert teacher.teacher and teacher.name == "big" and teacher.parameters == 100
    assert (student.name, student.student, student.row) == ("mine", "dull", "NOKD")


def test_seeds_of_one_student_and_row_are_one_entry():
    found = entries(
        a=dull(seed=0), b=dull(seed=1, gate_open=0.5), c=dull(seed=2, row="TSKD")
    )
    assert told(found) == [("dull NOKD", "dull", "NOKD", 2), ("c", "dull", "TSKD", 1)]
    assert [n.seed for n in found[0].networks] == [0, 1]
    assert [n.name for n in found[0].networks] == ["a", "b"]
    assert found[0].gate_open == 0.5


def test_an_entry_of_several_seeds_takes_no_other_trackers_name():
    found = entries(**{"dull NOKD": None, "a": dull(seed=0), "b": dull(seed=1)})
    assert [one.name for one in found] == ["dull NOKD, 2 seeds", "dull NOKD"]


def test_teachers_of_several_seeds_are_one_entry():
    second = dataclasses.replace(TEACHER, weights="sha1", seed=1)
    found = entries(
        t0=TEACHER, t1=second, a=dull(), b=dull(seed=1, teacher="sha1", weights="d1")
    )
    assert told(found)[0] == ("teacher", "", "", 2)


def test_trackers_of_one_seed_stay_apart_and_have_rows_of_their_own():
    found = entries(literal=dull(), working=dull(weights="d1"))
    assert told(found) == [
        ("literal", "dull", "NOKD", 1),
        ("working", "dull", "NOKD, working", 1),
    ]
    students = Benchmark("otb:DIR", found).students
    assert list(students["dull"]) == ["NOKD", "NOKD, working"]


def test_another_architecture_under_the_same_name_is_no_other_seed():
    found = entries(a=dull(), b=dull(seed=1, parameters=20))
    assert [len(one.networks) for one in found] == [1, 1]


def test_students_come_by_size_and_rows_from_plain_to_sharing_then_strangers():
    wide = {"student": "wide", "parameters": 50}
    found = entries(
        other=None,
        w=dull(**wide),
        s=dull(row="TSsKD"),
        d=dull(row="DLF"),
        n=dull(),
        t=TEACHER,
    )
    assert [one.name for one in found] == ["t", "n", "d", "s", "w", "other"]
