"""The notebooks run, and what is committed of them is whole and small."""

import json
import re

import nbformat
import pytest

from scripts.notebooks.run import FOLDER, executed, slimmed

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 4 * 2**20  # bytes, of all together
PLACE = re.compile(r"(?<![\w.:])/(?:ho" + "me|ro" + "ot|tm" + "p|Use" + r"rs|mnt)/\w")

pytestmark = pytest.mark.filterwarnings("default")


def faults(path):
    """What is wrong with a notebook as it is committed."""
    notebook, wrong = nbformat.read(path, as_version=4), []
    for number, cell in enumerate(notebook.cells):
        outputs = cell.get("outputs", [])
        if cell.cell_type == "code" and cell.execution_count is None:
            wrong.append(f"cell {number} was not run")
        if any(one.output_type == "error" for one in outputs):
            wrong.append(f"cell {number} failed")
    text = path.read_text(encoding="utf-8")
    if PLACE.search(text):
        wrong.append("a path of a machine")
    if "sha" + "red/" in text:
        wrong.append("data from outside the repository")
    if "image/png" not in text:
        wrong.append("no picture")
    return wrong


def test_the_notebooks_are_looked_at():
    assert [path.name[0] for path in NOTEBOOKS] == list("123456789"[: len(NOTEBOOKS)])
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_outputs(path):
    assert faults(path) == []


def test_they_are_small():
    assert sum(path.stat().st_size for path in NOTEBOOKS) < LARGEST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_pyplot(path, tmp_path):
    """Results show themselves: a user's kernel is left as it is."""
    notebook = nbformat.read(path, as_version=4)
    if any("from sklearn" in cell.source for cell in notebook.cells):
        pytest.importorskip("sklearn", reason="scikit-learn is of the extra notebooks")
    told = (
        "import sys; print('matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(told))
    nbformat.write(notebook, tmp_path / path.name)
    done = executed(tmp_path / path.name)
    assert done.cells[-1].outputs[0].text == "True False\n"
    pictures = [
        one
        for c in done.cells
        for one in c.get("outputs", [])
        if "image/png" in one.get("data", {})
    ]
    committed = [
        one
        for c in notebook.cells
        for one in c.get("outputs", [])
        if "image/png" in one.get("data", {})
    ]
    assert len(pictures) == len(committed) >= 3


def planted(folder, **cell):
    """A notebook of one cell, spoiled."""
    made = nbformat.v4.new_code_cell("1 + 1", execution_count=1)
    made.update(nbformat.from_dict(cell))
    path = folder / "planted.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[made]), path)
    return path


def test_a_spoiled_notebook_is_caught(tmp_path):
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    home = "/ho" + "me/someone/x.h5"
    assert "cell 0 was not run" in faults(planted(tmp_path, execution_count=None))
    assert "cell 0 failed" in faults(planted(tmp_path, outputs=[error]))
    assert "a path of a machine" in faults(planted(tmp_path, source=f"open({home!r})"))
    assert faults(planted(tmp_path)) == ["no picture"]


def test_pictures_are_slimmed_and_stay_pictures():
    import base64
    import io

    import numpy as np
    from PIL import Image

    memory = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(memory, "PNG")
    picture = base64.b64encode(memory.getvalue()).decode()
    output = nbformat.v4.new_output("display_data", {"image/png": picture})
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    data = slimmed(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs[0].data["image/png"]
    assert len(data) < 0.8 * len(picture)
    with Image.open(io.BytesIO(base64.b64decode(data))) as made:
        difference = np.abs(np.asarray(made.convert("RGB")).astype(int) - noise)
    assert difference.max() <= 7
    assert json.dumps(data)
