"""The conventions of the whole package, held by a walk over its source."""

import ast
import dataclasses
import functools
import importlib.util
import pathlib

import pytest

PACKAGE = pathlib.Path(str(importlib.util.find_spec("dst_jax").origin)).parent
MODULES = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
# Layers whose randomness is JAX's: a key, never a NumPy generator.
KEYED = ("ops", "losses", "models", "distill", "track", "train")
MAX_LINES, MAX_BODY, MAX_ARGUMENTS = 350, 40, 8
# Plural nouns, which end as a verb in the third person does.
NOUNS = frozenset(
    "Anchors Arguments Boxes Candidates Channels Classes Columns Features Fields Files "
    "Folders Frames Images Indices Labels Lines Logits Maps Names Numbers Options "
    "Outputs Parameters Patches Pixels Rows Sequences Shapes Sides Sizes Steps Values "
    "Variables Weights".split()
)


@dataclasses.dataclass(frozen=True)
class Function:
    """A function of the source, wherever it is nested."""

    where: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    public: bool
    method: bool

    @property
    def positional(self):
        named = [*self.node.args.posonlyargs, *self.node.args.args]
        static = any(getattr(d, "id", "") == "staticmethod" for d in self.decorators)
        return named[1:] if self.method and not static else named

    @property
    def decorators(self):
        return self.node.decorator_list

    @property
    def arguments(self):
        rest = [self.node.args.vararg, self.node.args.kwarg]
        return [*self.positional, *self.node.args.kwonlyargs, *filter(None, rest)]

    @property
    def body_lines(self):
        body = self.node.body
        if ast.get_docstring(self.node) is not None:
            body = body[1:]
        return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@functools.cache
def parsed(module):
    return ast.parse(MODULES[module].read_text())


def functions_in(module):
    """Every function of a module with what its place says about it."""

    def walk(node, name, public, in_class):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                seen = public and not child.name.startswith("_")
                where = f"{name}.{child.name}"
                yield Function(where, child, seen, in_class)
                yield from walk(child, where, False, False)
            elif isinstance(child, ast.ClassDef):
                seen = public and not child.name.startswith("_")
                yield from walk(child, f"{name}.{child.name}", seen, True)
            else:
                yield from walk(child, name, public, in_class)

    return list(walk(parsed(module), module, True, False))


def offenders(functions, wrong):
    return [f"{f.where} (line {f.node.lineno})" for f in functions if wrong(f)]


every_module = pytest.mark.parametrize("module", sorted(MODULES))


@every_module
def test_modules_are_short_documented_and_named_for_their_topic(module):
    text = MODULES[module].read_text()
    assert ast.get_docstring(parsed(module)), f"{module}: needs a docstring"
    assert text.count("\n") <= MAX_LINES, f"{module}: over {MAX_LINES} lines"
    assert MODULES[module].stem not in ("utils", "common", "helpers", "misc")
    # Under it annotations are strings, which jaxtyping cannot check.
    assert "from __future__ import annotations" not in text


@every_module
def test_public_names_are_documented(module):
    classes = [n for n in parsed(module).body if isinstance(n, ast.ClassDef)]
    bare = [c.name for c in classes if c.name[0] != "_" and not ast.get_docstring(c)]
    public = [f for f in functions_in(module) if f.public]
    bare += offenders(public, lambda f: not ast.get_docstring(f.node))
    assert not bare, f"document: {bare}"


def starts_with_a_verb(docstring):
    """Whether the first word may be a verb in the third person: "Returns", "Reads"."""
    word = docstring.split()[0].rstrip(",")
    third_person = word.isalpha() and word.endswith("s") and not word.endswith("ss")
    return third_person and word not in NOUNS


@every_module
def test_public_functions_say_first_what_they_do(module):
    public = [f for f in functions_in(module) if f.public]
    texts = {f.where: ast.get_docstring(f.node) for f in public}
    wordless = offenders(public, lambda f: not starts_with_a_verb(texts[f.where]))
    assert not wordless, f'begin with "Returns", "Reads" or another verb: {wordless}'


@every_module
def test_public_arguments_are_annotated(module):
    public = [f for f in functions_in(module) if f.public]
    bare = offenders(public, lambda f: any(a.annotation is None for a in f.arguments))
    assert not bare, f"annotate every argument of: {bare}"


@every_module
def test_functions_are_short_with_few_arguments(module):
    functions = functions_in(module)
    long = offenders(functions, lambda f: f.body_lines > MAX_BODY)
    assert not long, f"over {MAX_BODY} lines: {long}"
    many = offenders(functions, lambda f: len(f.arguments) > MAX_ARGUMENTS)
    assert not many, f"over {MAX_ARGUMENTS} arguments: {many}"


@every_module
def test_optional_arguments_are_keywords(module):
    # An entry point takes the command line, or by default the process's own.
    public = [
        f
        for f in functions_in(module)
        if f.public and f.where != "command/main.py.main"
    ]
    loose = offenders(public, lambda f: f.node.args.defaults)
    assert not loose, f"put a * before the optional arguments of: {loose}"


@every_module
def test_randomness_comes_first_and_is_called_key_on_the_device(module):
    def misplaced(function):
        names = [a.arg for a in function.arguments]
        return any(n in names and names[0] != n for n in ("key", "rng"))

    public = [f for f in functions_in(module) if f.public]
    assert not offenders(public, misplaced), "`key` and `rng` are first arguments"
    if module.split("/")[0] in KEYED:
        functions = functions_in(module)
        numpy = offenders(functions, lambda f: "rng" in [a.arg for a in f.arguments])
        assert not numpy, f"JAX randomness is called `key`: {numpy}"


def test_the_walk_finds_the_package():
    assert {"command/main.py", "boxes.py", "losses/response.py"} <= set(MODULES)
    functions = {f.where: f for f in functions_in("boxes.py")}
    assert functions and all(f.arguments for f in functions.values() if f.public)
