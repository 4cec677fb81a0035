"""The command line in a process of its own: quick help, exit codes, quiet ends."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ("demo", "layers", "visualize", "mine", "merge", "figure", "compare", "info", "verify")
COMMANDS += ("embed",)
PATIENCE = 0.5  # seconds in which help must be there


def python(*arguments, cwd=ROOT, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True,
        check=False, **options,
    )  # fmt: skip


def deconvnet(*arguments, **options):
    return python("-m", "deconvnet", *arguments, **options)


def fastest(*arguments, runs=3):
    """The best time of some runs: other work on the machine only adds to it."""
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        done = deconvnet(*arguments)
        found.append(time.perf_counter() - start)
    return min(found), done


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_quick_and_has_an_example(command):
    seconds, done = fastest(command, "--help")
    assert done.returncode == 0
    assert seconds < PATIENCE
    assert "--json" in done.stdout
    example = done.stdout.partition("example:\n")[2].strip()
    assert example.startswith(f"deconvnet {command}")


def test_the_help_names_every_command():
    seconds, done = fastest("--help")
    assert seconds < PATIENCE
    assert set(COMMANDS) <= set(re.findall(r"^ {4}(\w+)\b", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_are_understood(command):
    from deconvnet.cli.main import _parser

    example = deconvnet(command, "--help").stdout.partition("example:\n")[2].split()
    assert _parser().parse_args(example[1:]).command == command


LOADED = """
import sys
from deconvnet.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
heavy = [name for name in ("torch", "matplotlib", "h5py", "PIL") if name in sys.modules]
sys.exit(",".join(heavy) or 0)
"""


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("mine", "--help"), ("nomine",)]
)
def test_help_does_not_wait_for_torch(arguments):
    assert python("-c", LOADED, *arguments).returncode == 0


def test_the_check_catches_what_imports_torch():
    done = python("-c", LOADED, "layers", "vgg16")
    assert done.returncode == 1
    assert "torch" in done.stderr


def test_bad_input_in_a_process():
    done = deconvnet("layers", "zoo:none")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch("deconvnet: error: the zoo has no 'none'; it has .*\n", done.stderr)


def test_from_another_folder(tmp_path):
    done = deconvnet("layers", "zoo:zfnet_mini", cwd=tmp_path)
    assert done.returncode == 0
    assert "classifier" in done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="needs a shell's pipe")
def test_a_reader_that_has_seen_enough(tmp_path):
    """``deconvnet layers MODEL | head -1``: no traceback."""
    command = [sys.executable, "-m", "deconvnet", "layers", "zoo:zfnet_mini"]
    with (tmp_path / "errors").open("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        errors.seek(0)
        assert errors.read() == ""
