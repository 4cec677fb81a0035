"""The papers' experiments by the command line: rows, a figure, and how it was made."""

import json
import re

import pytest
import torch

from deconvnet import Preprocessing, architectures, zoo
from deconvnet.figures import read_provenance
from tests.support.commands import make_files, said

pytestmark = pytest.mark.filterwarnings("default")
MODEL, PHOTO = "zoo:zfnet_mini", "photos/cat0.png"
UNREADABLE = re.compile(r"\w\(\w+=|\d\.\d*[1-9]\d{3}|\b1 more rows")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photographs, and three checkpoints of the embedded network's shape."""
    folder = make_files(tmp_path_factory.mktemp("experiments"))
    (folder / "run").mkdir()
    for epoch in (1, 2, 10):
        torch.manual_seed(epoch)
        torch.save(zoo.zfnet_mini(weights=False).state_dict(), folder / "run" / f"e{epoch}.pth")
    return folder


COMMANDS = {  # options, rows, a column and its value in the first of them
    f"occlusion {MODEL} {PHOTO} --stride 40": (9, "box", [0, 0, 19, 19]),
    f"invariance {MODEL} {PHOTO} --transforms rotation": (36, "rotation", 0.0),
    f"localize {MODEL} {PHOTO} --target 3 --boxes 5,5,90,90": (1, "target", 3),
    f"class-model {MODEL} --target 3,4 --steps 2": (2, "target", 3),
    f"effective-field {MODEL} {PHOTO} --layer relu2 --channels 0,1,2,3": (1, "layer", "relu2"),
    f"correspondence {MODEL} {PHOTO} photos/cat1.png --part eye=9,9,20,20/9,9,20,20": (
        2, "part", "eye",
    ),
    f"why {MODEL} {PHOTO} --true 3": (8, "image", "cat0.png"),
    f"evolution {MODEL} photos --checkpoints run --layer relu2 --channels 0-1": (
        6, "checkpoint", 1,
    ),
    f"architectures a={MODEL} b={MODEL} --data photos --weights b=run/e2.pth": (2, "net", "a"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "expected"), COMMANDS.items(), ids=COMMANDS)
def test_a_command_writes_its_figure_and_gives_its_rows(
    files, tmp_path, monkeypatch, capfd, command, expected
):
    monkeypatch.chdir(files)
    figure = tmp_path / "f.png"
    code, out, err = said(capfd, *command.split(), "-o", figure, "--width", "5in", "--json")
    assert code == 0, err
    count, column, value = expected
    rows = json.loads(out)["rows"]
    assert len(rows) == count
    assert rows[0][column] == value
    made = read_provenance(figure)
    assert made["study"].lower() == command.split()[0].replace("-", "").replace(
        "localize", "localization"
    )
    assert MODEL in made["model"]


@pytest.mark.parametrize(
    "command",
    [
        f"occlusion {MODEL} {PHOTO} --stride 20",
        f"invariance {MODEL} {PHOTO} --transforms scale",
        f"class-model {MODEL} --target 3 --steps 2",
        f"sanity {MODEL} {PHOTO} --stages conv1",
    ],
)
def test_a_command_tells_a_person_in_aligned_columns(files, monkeypatch, capfd, command):
    """The text of a result in Python, with its class and fields, is not for a terminal."""
    monkeypatch.chdir(files)
    code, out, err = said(capfd, *command.split(), "-o", "f.png", "--width", "5in")
    assert code == 0, err
    *told, last = out.splitlines()
    head, *rows = told[command.startswith("sanity") :]
    assert last == "f.png"
    assert not UNREADABLE.search(out), out
    rows = [row for row in rows if not row.startswith("…")]
    assert 1 <= len(rows) <= 10
    start = head.index(head.split("  ")[-1])  # of the last column
    assert all(row[start - 1 : start] in (" ", "") for row in rows)


@pytest.mark.parametrize(
    "text", ["Occlusion(name=cat0.png)", "0.00112345", "3.8415", "1 more rows"]
)
def test_what_is_not_for_a_person_is_seen(text):
    assert UNREADABLE.search(text)


def test_weights_go_to_the_model_of_their_name(files, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(files)
    figure = tmp_path / "f.png"
    command = f"architectures a={MODEL} b={MODEL} --data photos --weights b=run/e2.pth --json"
    rows = json.loads(said(capfd, *command.split(), "-o", figure)[1])["rows"]
    assert rows[0]["aliasing"] < 0.3 < rows[1]["aliasing"]  # planted: b untrained, a is not
    made = read_provenance(figure)
    assert (made["model"], made["weights"]) == (f"a={MODEL}, b={MODEL}", "b=e2.pth")


def test_each_net_takes_the_images_of_a_folder_at_its_own_size(files):
    large = zoo.zfnet_mini()
    large.preprocessing = Preprocessing((128, 112), 128)
    small = zoo.zfnet_mini()
    small.preprocessing = zoo.PREPROCESSING
    result = architectures({"large": large, "small": small}, files / "photos", progress=False)
    edges = {
        name: [max(unit.box.stop[axis] for unit in one.exemplars) for axis in (0, 1)]
        for name, one in result.nets.items()
    }
    assert edges["small"] <= [96, 96]
    assert 96 < edges["large"][0] <= 128
    assert edges["large"][1] <= 112
