"""The examples of a page, run in the order in which a reader meets them.

`python -m tests.pages PAGE SECTION` runs those of one section in the current folder,
which stands for a clone: it holds a copy of the package. A block of Python is a file if
its first line is `# NAME.py`, a transcript if it has prompts. Diffs are applied, and
the lines of bash are run. What fails raises.
"""

import doctest
import os
import pathlib
import re
import runpy
import shlex
import subprocess
import sys
from typing import NamedTuple

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FILE = re.compile(r"# ([\w/]+\.py)\n")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def sections(page):
    """The blocks of every section of the second level, by heading."""
    found = {}
    for part in re.split(r"^## ", page.read_text(), flags=re.M)[1:]:
        heading = part.partition("\n")[0]
        fences = re.findall(r"^```(\w+)\n(.*?)^```$", part, re.M | re.DOTALL)
        found[heading] = [Block(*fence) for fence in fences]
    return found


def is_quote(block):
    """Whether a diff shows lines of a patch that is kept, rather than a change."""
    return block.language == "diff" and not block.text.startswith("--- ")


def run(blocks):
    """Runs blocks in the current folder; transcripts share what they define."""
    shared = {"__name__": "__main__"}
    for number, block in enumerate(blocks):
        if is_quote(block):
            continue
        if block.language == "diff":
            apply(block.text)
        elif block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                command(shlex.split(line, comments=True))
        elif named := FILE.match(block.text):
            pathlib.Path(named[1]).write_text(block.text.partition("\n")[2])
        else:
            assert block.language == "python" and ">>>" in block.text, block
            transcript(block.text, shared, f"block {number}")


def apply(diff):
    """Applies a diff to the files here; its lines may have moved."""
    # Not the repository in which the folder may lie: git would skip every file.
    apart = os.environ | {"GIT_CEILING_DIRECTORIES": str(pathlib.Path.cwd().parent)}
    words = ["git", "apply", "-C1", "-"]
    subprocess.run(words, input=diff, env=apart, text=True, check=True)


def command(words):
    """Runs one line of a shell, the package's own verbs in this process."""
    if words[0] == "dst-jax":
        from dst_jax.command.main import main

        assert main(words[1:]) == 0, words
    elif words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
    elif words[:2] == ["git", "apply"]:
        apply(pathlib.Path(words[-1]).read_text())
    else:
        subprocess.run(words, check=True)


def transcript(text, shared, name):
    """Runs a transcript; what it prints must be what the page says."""
    test = doctest.DocTestParser().get_doctest(text, shared, name, name, 0)
    assert test.examples
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, clear_globs=False)
    shared |= test.globs
    assert not runner.failures, f"{name}: the page says otherwise"


if __name__ == "__main__":
    run(sections(pathlib.Path(sys.argv[1]))[sys.argv[2]])
