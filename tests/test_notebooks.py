"""Every notebook runs from top to bottom, and is stored without what a run leaves."""

import os
import pathlib

import jax
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[1]
NOTEBOOKS = {path.stem: path for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
# What each must print: a term of one's own in the metrics, two forms of one loss.
PRINTS = {"ablation": "loss/dull/ent: 0.", "losses": "same loss: True"}
SECONDS_PER_CELL = 1800  # for a machine that does a dozen things at once

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def test_the_notebooks_are_found():
    assert set(NOTEBOOKS) == {"ablation", "losses"}


@every_notebook
def test_a_notebook_is_stored_without_outputs_and_paths_of_a_machine(name):
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    for cell in code:
        assert cell.outputs == [] and cell.execution_count is None
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    text = NOTEBOOKS[name].read_text()
    for place in ("/home/", "/Users/", "/work/", "/tmp/", "C:\\"):
        assert place not in text


@every_notebook
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # The suite's own settings: one device, quick compilation, programs kept.
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    cache = str(jax.config.jax_compilation_cache_dir)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", cache)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()  # raises with the traceback of the cell that fails
    if folder := os.environ.get("DST_JAX_NOTEBOOKS_OUT"):
        nbformat.write(notebook, pathlib.Path(folder) / f"{name}.ipynb")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert any(PRINTS[name] in output.get("text", "") for output in outputs)
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4
