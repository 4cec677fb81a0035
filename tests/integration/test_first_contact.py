"""The first lines in a fresh notebook: from import to a figure that shows itself."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ipykernel")
pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ONE_FILTER = """
import deconvnet as dn
net = dn.DeconvNet(dn.zoo.zfnet_mini(), preprocessing=dn.zoo.PREPROCESSING)
dn.visualize(net, "cat.png", layer="relu4", channel=98)
"""
GRID = """
import deconvnet as dn
net = dn.DeconvNet(dn.zoo.zfnet_mini(), preprocessing=dn.zoo.PREPROCESSING)
store = dn.mine(net, "photos", "top9.h5", layers="relu4")
dn.exemplars(store, "relu4", "strongest:4")
"""
THREE_METHODS = """
import deconvnet as dn
net = dn.DeconvNet(dn.zoo.zfnet_mini(), preprocessing=dn.zoo.PREPROCESSING)
dn.compare(net, "cat.png", layer="relu4", channel=98)
"""
STRONGEST = """
import deconvnet as dn
dn.visualize(dn.zoo.zfnet_mini(), "cat.png", preprocessing=dn.zoo.PREPROCESSING)
"""
FIRST = {
    "one filter in one image": (ONE_FILTER, 5),
    "the 3 x 3 grid": (GRID, 6),
    "three methods": (THREE_METHODS, 5),
    "whatever fires": (STRONGEST, 5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A photograph and a folder of them, as a user has them."""
    from deconvnet import zoo

    made = tmp_path_factory.mktemp("first")
    cat = zoo.photograph("chelsea")
    cat.save(made / "cat.png")
    (made / "photos").mkdir()
    for number in range(12):
        left, top = 25 * number, 15 * number
        cat.crop((left, top, left + 120, top + 120)).save(made / "photos" / f"{number:02}.png")
    return made


def outputs(source, folder):
    """What the last cell shows, and standard error; the kernel is a fresh one."""
    from scripts.notebooks.run import run

    cells = [nbformat.v4.new_code_cell(source.strip())]
    cells.append(nbformat.v4.new_code_cell("import sys\nprint('matplotlib.pyplot' in sys.modules)"))
    notebook = nbformat.v4.new_notebook(cells=cells)
    run(notebook, str(folder), kernel_name="python3")
    shown, pyplot = (cell["outputs"] for cell in notebook.cells)
    assert pyplot[0]["text"] == "False\n", "pyplot was imported"
    return [one["data"] for one in shown if "data" in one]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", FIRST)
def test_a_few_lines_from_import_to_a_picture(what, folder):
    source, most = FIRST[what]
    assert len(source.strip().splitlines()) <= most
    (data,) = outputs(source, folder)
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.width > 500
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50, "a blank picture"
    text = data["text/plain"]
    assert len(text) <= 600
    assert len(text.splitlines()) <= 5


def test_a_figure_without_a_picture_would_be_caught(folder):
    (data,) = outputs("import matplotlib.figure\nmatplotlib.figure.Figure()", folder)
    assert "image/png" not in data
