"""The programs run by their path, from any folder, as a user of a clone runs them."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
PROGRAMS = sorted(
    path.relative_to(SCRIPTS).as_posix()
    for path in SCRIPTS.rglob("*.py")
    if "argparse" in path.read_text(encoding="utf-8")
)


def test_the_programs_are_the_known_ones():
    assert PROGRAMS == [
        "benchmarks/run.py", "correctness/run.py", "make_figures.py", "mine_dataset.py",
        "notebooks/run.py", "sanity/run.py", "visualize_filter.py", "zoo/examine.py",
        "zoo/train.py",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in PROGRAMS if "/" in name])
def test_a_program_of_a_folder_finds_its_siblings(name, tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPTS / name, "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: "), done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_readme_names_every_program(name):
    assert name in (SCRIPTS / "README.md").read_text(encoding="utf-8")
