"""The command line in a process of its own: quick help, exit codes, quiet ends."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deconvnet.cli.command_line import command_line

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "demo",
    "layers",
    "visualize",
    "mine",
    "merge",
    "exemplars",
    "compare",
    "info",
    "verify",
)
COMMANDS += ("embed", "relu-table", "occlusion", "trace", "class-model", "localize")
COMMANDS += ("effective-field", "invariance", "correspondence", "why", "evolution")
COMMANDS += ("architectures", "sanity")


def python(*arguments, cwd=ROOT, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True,
        check=False, **options,
    )  # fmt: skip


def deconvnet(*arguments, **options):
    return python("-m", "deconvnet", *arguments, **options)


LIGHT = """
import sys
from deconvnet.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code
heavy = [n for n in ("torch", "numpy", "h5py", "matplotlib", "PIL") if n in sys.modules]
sys.exit(", ".join(heavy) or 0)
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_waits_for_no_library_and_has_an_example(command):
    done = python("-c", LIGHT, command, "--help")
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout
    example = done.stdout.partition("example:\n")[2].strip()
    assert example.startswith(f"deconvnet {command}")


def test_a_library_would_be_told():
    done = python("-c", LIGHT.replace("import sys", "import sys, numpy", 1), "--help")
    assert "numpy" in done.stderr


def test_the_help_names_every_command():
    done = python("-c", LIGHT, "--help")
    assert done.returncode == 0, done.stderr
    assert set(COMMANDS) <= set(re.findall(r"^ {4}([\w-]+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_are_understood(command):
    example = deconvnet(command, "--help").stdout.partition("example:\n")[2].split()
    assert command_line().parse_args(example[1:]).command == command


def test_figure_is_another_word_for_exemplars():
    options = command_line().parse_args(["figure", "a.h5", "--layer", "relu"])
    assert options.command == "exemplars"
    assert deconvnet("figure", "--help").returncode == 0


def test_an_option_of_no_command_is_told_with_the_usage_and_the_nearest_options_of_this_one():
    done = deconvnet("visualize", "zoo:zfnet_mini", "cat.jpg", "--chanel", "3")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: deconvnet visualize")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("deconvnet visualize: error: unrecognized arguments: --chanel 3; ")
    assert "the nearest options are --channel" in last


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
        assert process.wait(timeout=300) == 0
        errors.seek(0)
        assert errors.read() == ""


def test_help_names_every_form_of_a_model():
    told = " ".join(deconvnet("visualize", "--help").stdout.split())
    for form in ("torchvision:NAME", "timm:NAME", "zoo:NAME", "path/to/file.py:factory"):
        assert form in told
