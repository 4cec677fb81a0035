"""The README's examples run as they are printed, in a folder with photographs."""

import re
import shlex

import pytest
import torchvision
from torchvision.models import VGG16_Weights

import deconvnet
from deconvnet import zoo
from deconvnet.cli.main import main
from tests.support.house import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = 150


def blocks(language, text=TEXT):
    """The blocks of code of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


def commands(text=TEXT):
    """The lines that run deconvnet."""
    lines = "".join(blocks("sh", text)).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("deconvnet ")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Photographs where the README has some; torchvision's weights are random ones."""
    cat = zoo.photograph("chelsea")
    cat.save(tmp_path / "cat.jpg")
    zoo.photograph("coffee").save(tmp_path / "dog.jpg")
    (tmp_path / "photos").mkdir()
    for number in range(10):
        left = 20 * number
        cat.crop((left, 40, left + 150, 190)).save(tmp_path / "photos" / f"{number}.png")
    random = torchvision.models.vgg16(weights=None).state_dict()
    monkeypatch.setattr(VGG16_Weights, "get_state_dict", lambda *given, **named: random)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_examples_run(folder):
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert (folder / "units.pdf").stat().st_size > 10_000
    assert names["maps"].shape == (1, 3, 96, 96)
    assert len(names["store"]) > 10


def test_the_commands_run(folder, capsys):
    asked = commands()
    assert [words[1] for words in asked] == ["visualize", "mine", "exemplars", "compare"]
    for words in asked:
        assert main(words[1:]) == 0, capsys.readouterr().err
    for name in ("units.pdf", "top9.h5", "figure2.pdf", "methods.pdf"):
        assert (folder / name).stat().st_size > 5_000


def test_a_broken_example_would_fail():
    text = "```python\nimport deconvnet as dn\ndn.gone\n```\n```sh\ndeconvnet gone a.jpg # x\n```\n"
    with pytest.raises(AttributeError, match="gone"):
        exec(blocks("python", text)[0], {})
    assert commands(text) == [["deconvnet", "gone", "a.jpg"]]


def test_it_can_be_read_in_one_go():
    assert len(TEXT.splitlines()) <= LINES
    assert all(len(block.splitlines()) <= 12 for block in blocks("python"))
    assert "dn.trace" in TEXT
    for name in re.findall(r"\bdn\.(\w+)", TEXT):
        assert hasattr(deconvnet, name), name
