"""The lower bounds of the dependencies, and which tests run with them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
with pytest.MonkeyPatch.context() as path:
    path.syspath_prepend(ROOT / "scripts")  # the folder of a program
    from floors import floor, floors


def test_the_floors_are_exact_versions_of_every_dependency():
    found = floors()
    assert {"torch", "torchvision", "numpy", "h5py"} <= {each.split("==")[0] for each in found}
    assert all(each.count("==") == 1 for each in found)
    assert floor("scikit-image>=0.20") == "scikit-image==0.20"


@pytest.mark.parametrize(
    "requirement", ["torch", "torch>2.6", "torch~=2.6", "torch>=2.6,<3", "torch>=2.6; extra"]
)
def test_a_dependency_without_one_lower_bound_is_told(requirement):
    with pytest.raises(ValueError, match="has no single lower bound; write it as 'name>=version'"):
        floor(requirement)


def collected(*arguments):
    """The tests that pytest collects, as ``file::name``."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {line for line in done.stdout.splitlines() if "::" in line}


def test_the_marker_takes_whole_files_but_their_slow_tests():
    files = (
        "tests/layers/test_linear.py",
        "tests/cli/test_demo.py",
        "tests/figures/test_html_page.py",
    )
    marked, others = collected(*files, "-m", "floors"), collected(*files, "-m", "not floors")
    assert {name.partition("::")[0] for name in marked} == set(files[:2])
    assert {name.partition("::")[0] for name in others} == set(files[1:])  # the demo's slow test
    assert "tests/cli/test_demo.py::test_the_whole_demo" in others


def test_every_place_with_the_marker_is_there(request):
    (conftest,) = [
        plugin
        for name, plugin in request.config.pluginmanager.list_name_plugin()
        if Path(name) == ROOT / "tests" / "conftest.py"
    ]
    assert [place for place in conftest.FLOORS if not (ROOT / "tests" / place).exists()] == []
