"""Figures are drawn whatever MPLBACKEND says."""

import os
import subprocess
import sys

import pytest

DRAW = """
import os, sys
from deconvnet.studies.draw import provenance
import deconvnet.cli.commands.demo
from deconvnet.figures import filters, save
import matplotlib, numpy
save(filters(numpy.random.default_rng(0).random((4, 3, 5, 5))), sys.argv[1], provenance={})
print(os.environ["MPLBACKEND"], matplotlib.get_backend())
"""


@pytest.mark.parametrize(("backend", "used"), [("nonsense", None), ("tkagg", "tkagg")])
def test_a_backend_that_is_none_or_has_no_screen(tmp_path, backend, used):
    environment = {**os.environ, "MPLBACKEND": backend}
    environment.pop("DISPLAY", None)
    file = str(tmp_path / "filters.png")
    done = subprocess.run(
        [sys.executable, "-c", DRAW, file], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert os.path.getsize(file) > 1000
    told, found = done.stdout.split()
    assert told == backend, "the variable is the user's"
    assert used is None or found.lower() == used  # "TkAgg" in old matplotlib
