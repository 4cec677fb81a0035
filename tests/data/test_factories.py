"""Factories by file and by module: what they import, under which name, and what they are told."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from deconvnet.data.factories import FileModules, made_by


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """What is imported, and from where, is as before."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return str(folder / f"{next(iter(files))}.py")


def test_modules_beside_the_file_at_once_and_later(tmp_path):
    file = write(
        tmp_path / "a",
        makes_one="from beside_one import ONE\ndef make():\n"
        "    import beside_later\n    return ONE + beside_later.TWO\n",
        beside_one="ONE = 1\n",
        beside_later="TWO = 2\n",
    )
    assert made_by(file, "make") == 3


def test_one_file_is_one_module_until_it_changes(tmp_path):
    """A model and a data set of one file share their classes, which pickle finds by name."""
    file = write(tmp_path, makes_two="class A:\n    pass\ndef a():\n    return A()\nkind = A\n")
    one, other = made_by(file, "a"), made_by(file, "a")
    assert type(one) is type(other)
    assert type(pickle.loads(pickle.dumps(one))) is type(one)
    write(tmp_path, makes_two="def a():\n    return 'changed, and longer'\n")
    assert made_by(file, "a") == "changed, and longer"


@pytest.mark.parametrize("name", ["json", "random", "torch", "two.dots"])
def test_a_name_that_another_module_has(tmp_path, name):
    before = sys.modules.get(name)
    file = write(tmp_path / "a", **{name: "class A:\n    pass\ndef a():\n    return A()\n"})
    made = made_by(file, "a")
    assert type(pickle.loads(pickle.dumps(made))) is type(made)
    assert sys.modules.get(name) is before


def test_two_files_of_one_name(tmp_path):
    text = "class A:\n    n = {}\ndef a():\n    return A()\n"
    first, second = (
        made_by(write(tmp_path / f"in_{n}", same_name=text.format(n)), "a") for n in (1, 2)
    )
    assert (first.n, second.n) == (1, 2)
    assert [pickle.loads(pickle.dumps(each)).n for each in (first, second)] == [1, 2]


def test_a_new_process_imports_the_files_first(tmp_path):
    file = write(tmp_path, makes_three="class A:\n    pass\ndef a():\n    return A()\n")
    sent = pickle.dumps((FileModules(), made_by(file, "a")))
    program = "import pickle, sys; print(type(pickle.load(sys.stdin.buffer)[1]).__name__)"
    done = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True)
    assert done.stdout.strip() == b"A", done.stderr.decode()


def test_another_module_of_the_name_that_lies_beside_the_file(tmp_path):
    """The second file would get the first one's ``shared_name``, and nobody would know."""
    make = "from shared_name import N\ndef make():\n    return N\n"
    first = write(tmp_path / "a", asks_one=make, shared_name="N = 1\n")
    second = write(tmp_path / "b", asks_two=make, shared_name="N = 2\n")
    assert made_by(first, "make") == 1
    with pytest.raises(ValueError, match=r"imports 'shared_name', which lies beside .* rename one"):
        made_by(second, "make")


def test_a_module_by_its_name_stays_importable(tmp_path, monkeypatch):
    write(tmp_path, only_here="def make():\n    import only_later\n    return only_later.N\n")
    write(tmp_path, only_later="N = 4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    assert made_by("only_here", "make") == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import there_is_none\n", "No module named 'there_is_none'; install that module, or put"),
        ("from .beside import x\n", "relative import .* is given as package.module:factory"),
        ("def make(:\n", "cannot be imported, SyntaxError"),
        ("1 / 0\n", r"cannot be imported, ZeroDivisionError: division by zero$"),
    ],
)
def test_what_is_said_of_a_file_that_cannot_be_imported(tmp_path, text, said):
    """Never to write path/to/file.py:factory, which is what was written."""
    with pytest.raises(ValueError, match=said) as caught:
        made_by(write(tmp_path, cannot_be=text), "make")
    assert "path/to/file.py" not in str(caught.value)
    assert "cannot_be" not in sys.modules


def test_a_module_that_is_not_there():
    with pytest.raises(ValueError, match=r"No module named 'there_is_none'; write path/to/file"):
        made_by("there_is_none", "make")
