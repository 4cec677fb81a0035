"""``deconvnet info``: everything a store says of itself, quickly, with model and data gone."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from deconvnet.cli.commands.info import SHOWN, lines
from deconvnet.cli.text import printable
from deconvnet.store.store import Failed, LayerTable, open_store, write_store
from tests.support.commands import said

ROOT = Path(__file__).parents[2]
STORE = ROOT / "tests" / "data" / "version1.h5"  # of a model and a folder that never were


def test_for_a_person(capfd):
    code, out, err = said(capfd, "info", STORE)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][1:] == "a store of version 1, 18,174 bytes".split()
    assert "model zoo:none (fingerprint abababababab…)".split() in rows
    assert "data a folder that is gone (fingerprint cdcdcdcdcdcd…)".split() in rows
    assert "images 5 seen, 1 failed; 4 of them stand in a table".split() in rows
    assert "made by deconvnet 0.1.0, torch 2.15.0".split() in rows
    assert "batches 2 x 3 x 8 x 8, float32 on cpu".split() in rows
    assert "block/conv%1 2 1 3 4 x 4 3 x 3 2 x 2 -".split() in rows
    assert "classifier 1 0 8 - 8 x 8 8 x 8 -".split() in rows
    assert "3 torn.jpg: it is cut short".split() in rows


def test_for_a_machine(capfd):
    code, out, _ = said(capfd, "info", STORE, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["bytes"] == STORE.stat().st_size
    assert told["attributes"]["k"] == 3
    assert told["layers"]["block/conv%1"]["dead_channels"] == [1]
    assert (told["channels"], told["dead"]) == (3, 1)
    assert told["failed"] == [{"index": 3, "path": "torn.jpg", "reason": "it is cut short"}]


def table(channels=3, nonzero=1.0):
    place = np.zeros((channels, 1), "i4")
    counts = np.zeros(channels)
    return LayerTable(
        activation=place.astype("f4"), image=place.astype("i8"), row=place, col=place,
        box=np.zeros((channels, 1, 4), "i4"), mean=counts, nonzero=counts + nonzero,
        nan=counts.astype("i8"), channels=channels, size=(2, 2), field=(1, 1), stride=(1, 1),
    )  # fmt: skip


def told(tmp_path, **parts):
    """What is said of a small store."""
    given = {"attributes": {}, "layers": {"conv": table()}, "images": {0: "a.jpg"}} | parts
    path = tmp_path / "a.h5"
    write_store(path, **given)
    from deconvnet.cli.commands.info import described

    store = open_store(path)
    return list(lines(store, described(store)))


def test_what_another_program_wrote_may_be_sparse(tmp_path):
    """Only what the format demands; and attributes that nobody knows are shown as they are."""
    found = told(tmp_path, attributes={"colour": "green"})
    assert any("not told" in line for line in found)
    assert "  colour       green" in found
    assert any("none of which is dead" in line for line in found)


def test_many_failed_images_are_not_all_told(tmp_path):
    failed = [Failed(i, f"{i}.jpg", "torn") for i in range(SHOWN + 5)]
    found = told(tmp_path, failed=failed)
    assert sum(line.endswith(": torn") for line in found) == SHOWN
    assert found[-1] == "  … and 5 more; --json lists them all"


def test_texts_of_the_file_do_not_reach_the_terminal_as_they_are(tmp_path):
    bad = Failed(1, "\x1b[2Jx\n.jpg", "bad\udcff")
    found = told(tmp_path, failed=[bad], layers={"a\tb": table()}, attributes={"model": "\x07"})
    assert all(printable(line) == line for line in found)
    assert any("\\x1b[2Jx\\n.jpg: bad\\udcff" in line for line in found)


def test_names_of_attributes_neither(tmp_path):
    found = told(tmp_path, attributes={"\x1b[31mred": "x"})
    assert "  \\x1b[31mred  x" in found


def test_errors_of_a_hostile_file_neither(tmp_path, capfd):
    path = tmp_path / "a.h5"
    write_store(path, attributes={}, layers={"a": table()}, images={i: str(i) for i in range(9)})
    with h5py.File(path, "r+") as file:
        file.move("layers/a", "layers/\x1b]0;owned\x07")
        del file["layers/\x1b]0;owned\x07/row"]
    code, out, err = said(capfd, "info", path)
    assert (code, out) == (2, "")
    assert "\\x1b]0;owned\\x07/row is missing" in err
    assert "\x1b" not in err


def test_numbers_that_json_does_not_have(tmp_path, capfd):
    path = tmp_path / "a.h5"
    layers = {"a": replace(table(), field=(math.nan, math.inf))}
    write_store(path, attributes={}, layers=layers, images={i: str(i) for i in range(9)})
    code, out, _ = said(capfd, "info", path, "--json")
    found = json.loads(out, parse_constant=lambda text: pytest.fail(text))
    assert (code, found["layers"]["a"]["field"]) == (0, [None, None])


def test_dead_channels_are_counted(tmp_path):
    found = told(tmp_path, layers={"conv": table(4, nonzero=0.0)})
    assert any("4 channels, 4 of which are dead" in line for line in found)


QUICK = """
import sys
from deconvnet.cli.main import main
main(["info", sys.argv[1]])
sys.exit(",".join(name for name in ("torch", "matplotlib", "PIL") if name in sys.modules) or 0)
"""


def test_torch_is_not_imported():
    """So that it is quick: the store is read with h5py alone."""
    done = subprocess.run(
        [sys.executable, "-c", QUICK, str(STORE)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.h5", "there is no file 'none.h5'; mine a data"), ("a.txt", "it is not an HDF5 file")],
)
def test_what_is_no_store(tmp_path, monkeypatch, capfd, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    code, out, err = said(capfd, "info", name)
    assert (code, out) == (2, "")
    assert message in err


def test_lowest_sample_and_rank_are_told(capfd):
    code, out, err = said(capfd, "info", ROOT / "tests" / "data" / "version2.h5")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (
        "lowest the 2 lowest images of every channel, in 2 layers of what feeds the rectifier"
        in lines
    )
    assert "sample 4 images drawn with random state 11, the same for all channels" in lines
    assert "ties in 4 channels more images are as strong as the last" in lines
    _, out, _ = said(capfd, "info", ROOT / "tests" / "data" / "version2_video.h5")
    assert "  ranked by    the mean of a map" in out.splitlines()
    _, out, _ = said(capfd, "info", ROOT / "tests" / "data" / "version2.h5", "--json")
    told = json.loads(out)["layers"]["block/relu%1"]
    assert told["lowest"] == {"of": "conv", "size": [4, 4], "tied": 2}
    assert told["directions"] == {"concepts/1": 3}
    _, out, _ = said(capfd, "info", STORE)
    assert not {"lowest", "sample", "ranked", "ties"} & {word for word in out.split()}
