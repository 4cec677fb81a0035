"""Every command from end to end: exit code, files, and JSON that a machine can read."""

import json
import re

import pytest

from deconvnet import open_store, zoo
from deconvnet.figures import read_provenance
from tests.support.commands import said

pytestmark = pytest.mark.filterwarnings("default")
MODEL = "zoo:zfnet_mini"
LAYERS = ("relu2", "relu4", "classifier")


@pytest.fixture(scope="module")
def store(files):
    from deconvnet.cli.main import main

    path = files / "top3.h5"
    options = ["--layers", ",".join(LAYERS), "-k", "3", "--batch-size", "4"]
    assert main(["mine", MODEL, str(files / "photos"), "-o", str(path), *options]) == 0
    return path


def result(capfd, *arguments):
    """What a command prints as JSON; nothing else may be on standard output."""
    code, out, err = said(capfd, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_layers(capfd):
    code, out, err = said(capfd, "layers", MODEL)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == [
        "layer", "kind", "channels", "map", "field", "stride", "box", "deconvnet"
    ]  # fmt: skip
    assert "conv1 Conv2d 48 48 x 48 7 x 7 2 x 2 45,45,52,52 -".split() in rows
    found = result(capfd, "layers", MODEL)
    assert found["input_size"] == [3, 96, 96]
    assert found["layers"]["conv1"] == {
        "channels": 48, "size": [48, 48], "field": [7, 7], "stride": [2, 2], "kind": "Conv2d",
        "box": [45, 45, 52, 52], "rule": "-", "unruled": [],
    }  # fmt: skip


def test_layers_at_another_size(capfd):
    found = result(capfd, "layers", "torchvision:squeezenet1_1", "--size", "64")
    assert found["input_size"] == [3, 64, 64]
    assert found["layers"]["features.0"]["size"] == [31, 31]


def test_mine(files, store, capfd):
    found = open_store(store)
    assert tuple(found) == LAYERS
    assert found.attributes["k"] == 3
    assert found.attributes["model"] == MODEL
    assert found.attributes["dataset"] == str(files / "photos")
    assert found.images == {i: f"cat{i}.png" for i in range(5)}
    path = files / "new" / "folder" / "a.h5"
    options = ["-o", path, "--layers", "conv1", "--batch-size", "2", "-k", "2"]
    told = result(capfd, "mine", MODEL, files / "photos", *options)
    assert told["store"] == str(path)
    assert told["layers"] == ["conv1"]
    assert told["images_seen"] == 5
    assert path.is_file()


def test_mine_lowest_and_a_sample(files, tmp_path, capfd):
    path = tmp_path / "a.h5"
    options = ["--layers", "relu2", "--lowest", "2", "--sample", "3", "--random-state", "5"]
    command = ["mine", MODEL, files / "photos", "-o", path, *options, "--rank", "mean"]
    estimated = result(capfd, *command, "--dry-run")
    told = result(capfd, *command)
    kept = {name: told[name] for name in ("lowest", "sample", "random_state", "rank")}
    assert kept == {"lowest": 2, "sample": 3, "random_state": 5, "rank": "mean"}
    table = open_store(path)["relu2"]
    assert (table.lowest.of, table.lowest.k, table.sample.k) == ("conv2", 2, 3)
    assert 0.5 < estimated["disk"]["store"] / path.stat().st_size < 2
    code, out, err = said(capfd, "verify", path, "--exact", "-n", "all")
    assert code == 0, out + err
    entries = sum(int((each.images >= 0).sum()) for each in table.tables.values())
    assert f"{entries} of {entries} entries" in out


def test_mine_says_what_it_left_out_and_what_is_next(files, tmp_path, capfd):
    photos = tmp_path / "photos"
    photos.mkdir()
    for file in [*(files / "photos").iterdir(), files / "torn.jpg"]:
        (photos / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "a.h5"
    code, out, err = said(capfd, "mine", MODEL, photos, "-o", path, "--layers", "relu2")
    assert code == 0, err
    assert "top 9 of 96 units over 5 images" in out
    assert "left out: " in out
    assert "torn.jpg' cannot be used" in out
    assert f"next: deconvnet exemplars {path} --layer relu2" in out


def test_the_layer_to_draw_next_has_maps(files, tmp_path, capfd):
    mine = ("mine", MODEL, files / "photos", "-o", tmp_path / "a.h5", "--layers")
    assert "--layer relu4\n" in said(capfd, *mine, "relu2,relu4,classifier")[1]
    assert "--layer classifier\n" in said(capfd, *mine, "classifier", "--restart")[1]


def test_mine_takes_a_factory_of_a_data_set(files, tmp_path, capfd):
    data = f"{files / 'nets.py'}:photographs"
    told = result(capfd, "mine", MODEL, data, "-o", tmp_path / "a.h5", "--layers", "conv1")
    assert told["images_seen"] == 3


@pytest.mark.parametrize(
    ("layer", "channels", "count"),
    [("relu2", "0-2,5", 4), ("relu4", "strongest:3", 3), ("classifier", "random:2", 2)],
)
@pytest.mark.parametrize("suffix", ["pdf", "png"])
def test_exemplars(store, tmp_path, capfd, layer, channels, count, suffix):
    path = tmp_path / "out" / f"figure.{suffix}"
    options = ["--layer", layer, "--channels", channels, "-o", path, "--width", "icml"]
    told = result(capfd, "exemplars", store, *options, "--rectifier", "guided")
    assert told["layer"] == layer
    assert len(told["channels"]) == count
    how = read_provenance(path)
    assert how["layer"] == layer
    assert how["channels"] == ", ".join(map(str, told["channels"]))
    assert how["rectifier"] == "guided"
    assert how["model_fingerprint"] == open_store(store).attributes["model_fingerprint"]


def test_visualize(files, tmp_path, capfd):
    photos = [files / "photos" / name for name in ("cat0.png", "cat3.png")]
    path = tmp_path / "units.png"
    options = ["--layer", "relu3", "--channel", "7,9", "-o", path]
    told = result(capfd, "visualize", MODEL, *photos, *options)
    assert told["figure"] == str(path)
    assert [row["image"] for row in told["units"]] == ["cat0.png"] * 2 + ["cat3.png"] * 2
    assert {row["unit"].split("@")[0] for row in told["units"]} == {"relu3:7", "relu3:9"}
    assert read_provenance(path)["images"] == "cat0.png, cat3.png"
    one = result(
        capfd, "visualize", MODEL, photos[0], *options,
        "--position", "4,5", "--seed", "one", "--rectifier", "rectgrad(90)",
    )  # fmt: skip
    assert [row["unit"] for row in one["units"]] == ["relu3:7@4,5", "relu3:9@4,5"]
    assert read_provenance(path)["seed"] == "one"


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        ([], "classifier:"),
        (["--class", "12"], "classifier:12"),
        (["--layer", "relu4", "--channel", "30"], "relu4:30@"),
    ],
)
def test_compare(files, tmp_path, capfd, options, unit):
    path = tmp_path / "methods.pdf"
    photo = files / "photos" / "cat1.png"
    told = result(capfd, "compare", MODEL, photo, *options, "-o", path)
    assert [row["image"] for row in told["units"]] == ["cat1.png"]
    assert told["units"][0]["unit"].startswith(unit)
    assert read_provenance(path)["rectifiers"] == "gradient, deconvnet, guided"


def test_an_activation_without_a_rule_by_its_remedy(files, tmp_path, capfd):
    model, path = f"{files / 'nets.py'}:gelu", tmp_path / "a.png"
    arguments = [model, files / "photos" / "cat0.png", "--layer", "2", "--channel", "1", "-o", path]
    size = ["--size", "64"]
    for remedy in ("derivative", "rectify"):
        assert result(capfd, "visualize", *arguments, *size, "--fallback", remedy)["units"]


def test_a_preprocessing_that_nobody_stated_is_told(files, tmp_path, capfd):
    photo, out = files / "photos" / "cat0.png", tmp_path / "a.png"
    own, asked = f"{files / 'nets.py'}:gelu", ["--layer", "0", "--channel", "1", "-o", out]
    told = "gelu states no preprocessing, and images are read by the usual one, .*64.*; if"
    store = tmp_path / "a.h5"
    for command in (("visualize", own, photo, *asked), ("mine", own, photo.parent, "-o", store)):
        code, _, err = said(capfd, *command, "--size", "64")
        assert code == 0, err
        assert re.search(told, err)
        stated = ("--mean", ".5", "--std", ".5", *(["--restart"] if command[0] == "mine" else []))
        assert "preprocessing" not in said(capfd, *command, "--size", "64", *stated)[2]
    known = said(capfd, "visualize", MODEL, photo, "--layer", "relu2", "--channel", "1", "-o", out)
    assert known[0] == 0
    assert "preprocessing" not in known[2]


def test_numbers_of_the_command_line_are_those_of_python(files, tmp_path, capfd):
    from deconvnet import DeconvNet
    from deconvnet.data import read_image

    photo = files / "photos" / "cat2.png"
    told = result(capfd, "visualize", MODEL, photo, "--layer", "relu4", "--channel", "30",
                  "-o", tmp_path / "a.png")["units"][0]  # fmt: skip
    image = zoo.PREPROCESSING(read_image(photo))[None]
    net = DeconvNet(zoo.zfnet_mini())
    maps = net.record(image, "relu4")["relu4"][0, 30]
    assert told["activation"] == pytest.approx(float(maps.max()), rel=1e-5)
    place = divmod(int(maps.argmax()), maps.shape[1])
    assert told["unit"] == f"relu4:30@{place[0]},{place[1]}"


def test_relu_table(capfd, tmp_path):
    path = tmp_path / "relu.pdf"
    found = result(capfd, "relu-table", "-o", path, "--rectifiers", "guided,identity")
    assert [row["pass"] for row in found["passes"]] == ["forward", "guided", "identity"]
    assert found["passes"][1]["input"] == [[0, 0, 0], [6, 0, 0], [0, 0, 3]]
    assert read_provenance(path)["study"] == "ReluTable"
    assert said(capfd, "relu-table", "-o", path, "--rectifiers", "guide")[0] == 2


def test_trace(capfd, files, tmp_path):
    path, photo = tmp_path / "trace.pdf", sorted((files / "photos").iterdir())[0]
    found = result(capfd, "trace", MODEL, photo, "--unit", "conv2:7", "-o", path, "--width", "cvpr")
    assert [row["node"] for row in found["nodes"]] == ["conv2", "pool1", "relu1", "conv1", "images"]
    assert found["unit"].startswith("conv2:7@")
    assert read_provenance(path)["model"] == MODEL
    code, _, err = said(capfd, "trace", MODEL, photo, "--unit", "conv2", "-o", path)
    assert code == 2
    assert "'conv2' is no unit" in err
