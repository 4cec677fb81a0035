"""Bad input: exit code 2 and one line that says what to do, never a traceback."""

import re
import warnings

import numpy as np
import pytest
import torch

from deconvnet import zoo
from deconvnet.mining.mine import Source, mine
from tests.support.commands import make_files, said

pytestmark = pytest.mark.filterwarnings("default")
MODEL = "zoo:zfnet_mini"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photographs, models, weights and stores, good and bad."""
    folder = make_files(tmp_path_factory.mktemp("bad"))
    data = zoo.photographs(["chelsea"], scales=[2])
    source = Source(MODEL, "", "deconvnet.zoo:photographs", zoo.PREPROCESSING.to_json())
    mine(zoo.zfnet_mini(), data, folder / "top.h5", ["relu2"], 2, source=source)
    mine(zoo.zfnet_mini(), data, folder / "unnamed.h5", ["relu2"], 2)
    torch.manual_seed(0)
    other = zoo.zfnet_mini(weights=False)
    mine(other, data, folder / "other.h5", ["relu2"], 2, source=source)
    torch.save(other.state_dict(), folder / "other.pth")
    torch.save({"weight": torch.zeros(3)}, folder / "wrong.pth")
    torch.save(other.state_dict(), folder / "epoch1.pth")
    torch.save({"weight": torch.zeros(3)}, folder / "epoch2.pth")
    (folder / "page.pth").write_text("<html>404</html>")
    (folder / "cut.h5").write_bytes((folder / "top.h5").read_bytes()[:3000])
    (folder / "empty").mkdir()
    np.save(folder / "wide.npy", np.ones((2, 97)))
    np.save(folder / "zero.npy", np.eye(96)[:2] * [[1], [0]])
    return folder


VISUALIZE = f"visualize {MODEL} photos/cat0.png"
COMPARE = f"compare {MODEL} photos/cat0.png"
OCCLUSION = f"occlusion {MODEL} photos/cat0.png"
MINE = f"mine {MODEL} photos -o new.h5"
EXEMPLARS = "exemplars top.h5 --layer relu2"
GELU = "visualize nets.py:gelu photos/cat0.png --size 64 --mean 0 --std 1 --layer 2 --channel 0"
BAD = {
    f"{VISUALIZE} --layer relu9 --channel 1": "no layer is called 'relu9'; the nearest are relu",
    f"{VISUALIZE} --layer relu3 --channel 160": "relu3 has no channel 160; its channels are 0 to",
    f"{VISUALIZE} --layer relu3 --channel 1 --position 99,1": r"no position \(99, 1\); its maps",
    f"{VISUALIZE} --layer relu3 --channel 1 --position 1": r"no position \(1,\)",
    f"{VISUALIZE} --layer classifier --channel 1 --position 1,1": "it has no positions",
    f"{VISUALIZE} --layer relu3 --channel 1 --rectifier relu": "'relu'",
    f"{VISUALIZE} --layer relu3 --channel 1 --seed two": "the seed was 'two'; use one of",
    f"{VISUALIZE} --layer relu3 --channel 1 --width wide": "width 'wide' is neither",
    f"{VISUALIZE} --layer relu3 --channel 1 -o a.jpeg": "a.jpeg",
    f"{VISUALIZE} --layer relu3 --channel 1 --mean 1,2": "2 numbers were given as mean, expected",
    f"visualize {MODEL} torn.jpg --layer relu3 --channel 1": "'torn.jpg' cannot be used",
    f"visualize {MODEL} none.jpg --layer relu3 --channel 1": "'none.jpg' cannot be used: no such",
    f"visualize {MODEL} photos --layer relu3 --channel 1": "'photos' cannot be used: is a dir",
    f"{VISUALIZE} --layer relu3 --channel 1 --weights none.pth": "no file of weights 'none.pth'",
    f"{VISUALIZE} --layer relu3 --channel 1 --weights wrong.pth": "not those of this ZFNetMini",
    f"{VISUALIZE} --layer relu3 --channel 1 --weights page.pth": "'page.pth'",
    f"{VISUALIZE} --layer relu3 --channel 1 --weights DEFAULT": "only torchvision: and timm:",
    f"{OCCLUSION} --target 367": "target=367 was given; the classes of classifier are 0 to 366",
    f"{OCCLUSION} --square 97": "size=97 was given, expected 1 to 96 pixels",
    f"{OCCLUSION} --channel 256": "relu5 has no channel 256",
    f"{OCCLUSION} --store cut.h5": "cut.h5",
    f"class-model {MODEL} --target 367": "target=367 was given; the classes of classifier",
    f"class-model {MODEL} --target cat": "'cat' was given, which is none of the class names",
    f"class-model {MODEL} --target 1 --penalty 0": "a penalty above 0",
    f"localize {MODEL} photos/cat0.png --boxes 0,0,97,9": "inside the preprocessed image of 96 x",
    f"localize {MODEL} photos/cat0.png --method cam": "expected one of threshold, grabcut",
    f"effective-field {MODEL} photos/cat0.png --layer classifier": "classifier has no positions",
    f"invariance {MODEL} photos/cat0.png --transforms shear": "expected some of translation",
    f"invariance {MODEL} photos/cat0.png --target 367": "target=367 was given",
    f"correspondence {MODEL} photos/cat0.png --part eye=1,1,9,9": "1 image given; changes are",
    f"correspondence {MODEL} photos/cat0.png --part eye=1,1,9,97": "inside 96 x 96 pixels",
    f"correspondence {MODEL} photos/cat0.png photos/cat0.png --part eye=1,1,9,9": (
        "--part: boxes: 1, images: 2; give one box for each image"
    ),
    f"why {MODEL} photos/cat0.png --true 367": "true=367 was given",
    f"architectures {MODEL} --data photos": "MODEL was 'zoo:zfnet_mini', expected NAME=MODEL",
    f"architectures a={MODEL} a={MODEL} --data photos": "the names a, a; give each once",
    f"architectures a={MODEL} --data photos --weights b.pth": "b.pth., expected NAME=FILE",
    f"architectures a={MODEL} --data photos --weights b=other.pth": "--weights names b, expected",
    f"architectures a={MODEL} --data photos --weights a=wrong.pth": "not those of this ZFNetMini",
    f"architectures a={MODEL} --data photos --radius 0": "radius=0.0 was given",
    f"architectures a={MODEL} --data empty": "there is no image in 'empty'",
    "architectures a=nets.py:gelu --data photos --size 64 --mean 0 --std 1": "GELU|convolutions",
    f"evolution {MODEL} photos --checkpoints other.pth": "'other.pth' has no number in its name",
    f"evolution {MODEL} photos --checkpoints epoch1.pth": "expected two or more, all diff",
    f"evolution {MODEL} photos --checkpoints epoch1.pth epoch2.pth": "'epoch2.pth' are not those",
    f"evolution {MODEL} photos --checkpoints epoch1.pth epoch2.pth --layer relu9": "not those of",
    f"localize {MODEL} photos/cat0.png --target 367": "target=367 was given",
    f"localize {MODEL} photos/cat0.png --threshold 2": "threshold",
    f"effective-field {MODEL} photos/cat0.png --channels 256": "relu5 has no channel 256",
    f"invariance {MODEL} photos/cat0.png --layers relu9": "no layer is called 'relu9'",
    f"class-model {MODEL} --target 1 --steps 0": "steps",
    f"why {MODEL} photos/cat0.png --true cat": "'cat' was given, which is none of the class names",
    f"{OCCLUSION} --stride 0": "stride=0 was given",
    f"{OCCLUSION} --value 1,2": "value",
    f"evolution {MODEL} photos --checkpoints empty": "no checkpoints in 'empty'",
    GELU: r"at 1: .*GELU.*(derivative|rectify)",
    "layers vgg16": "'vgg16' is no model; write torchvision:NAME, timm:NAME, zoo:NAME, path",
    "layers torchvision:vgg61": "torchvision has no 'vgg61'; the nearest are",
    "layers zoo:vgg": "the zoo has no 'vgg'; it has zfnet_mini",
    "layers none.py:make": "there is no file 'none.py'",
    "layers nets.py:gleu": "no function 'gleu'; it has .*gelu",
    "layers nets.py:fails": "failed, RuntimeError: first line second line",
    "layers nets.py:branching": r"Net cannot be traced at .*nets.py:\d+, `if x.sum\(\) > 0:`",
    f"layers {MODEL} --size 3": "do not fit the model: it stopped at",
    f"{COMPARE} --class 367": "classifier has no channel 367",
    f"{COMPARE} --channel 3": "channel 3 was given without its layer; give both",
    f"{COMPARE} --sign minus": "sign='minus' was given, expected some of all, positive",
    f"{COMPARE} --target relu3:1@9:2,0:1": "a map of it has 11 x 11 positions",
    f"{COMPARE} --target relu3": "'relu3' is no unit; write layer:channel",
    f"{COMPARE} --target 1 --class 1": "not both",
    f"{COMPARE} --rectifiers guided,relu": "'relu'",
    f"{VISUALIZE} --channel one": "channels were 'one'; write 0-15",
    f"{VISUALIZE} --channel 1 --seed map --position 1,1": "seed='map', which takes all of a map",
    f"{COMPARE} --layer relu3 --channel 1 --class 1": "not both",
    f"{MINE} --layers relu2,relu9": "no layer is called 'relu9'",
    f"{MINE} -k 0": "k=0",
    f"{MINE} --nan ignore": "nan was 'ignore'",
    f"{MINE} --device gpu": "device 'gpu' cannot be used here",
    f"mine {MODEL} nowhere -o new.h5": "there is no folder 'nowhere'; give a folder of images",
    f"mine {MODEL} empty -o new.h5": "there is no image in 'empty'",
    f"mine {MODEL} photos -o empty --layers conv1": "'empty' could not be written",
    "exemplars none.h5 --layer relu2": "there is no file 'none.h5'; mine a data set",
    "exemplars cut.h5 --layer relu2": "'cut.h5' cannot be opened as a store: ",
    "exemplars nets.py --layer relu2": "it is not an HDF5 file",
    "exemplars other.h5 --layer relu2": "the store was mined from another model: its fingerprint",
    f"{EXEMPLARS} --weights other.pth": "the store was mined from another model",
    f"{EXEMPLARS} --data photos": "the data set has changed since it was mined",
    f"{EXEMPLARS} --channels 95-96": "there is no channel 96; the layer's are 0 to 95",
    f"{EXEMPLARS} --channels 5-2": "channels were '5-2'; write the smaller first: 2-5",
    f"{EXEMPLARS} --channels 0-99999999999": "there is no channel 99999999999; the layer's are",
    f"{EXEMPLARS} --channels random:0": "channels were 'random:0'; write 0-15",
    f"{MINE} --dry-run --nan ignore": "nan was 'ignore'",
    f"{MINE} --device meta": "device 'meta' cannot be used here: it holds no values",
    f"{MINE} --layers relu2 --directions relu2=none.npy": "there is no file 'none.npy'",
    f"{MINE} --layers relu2 --directions relu2=nets.py": "'nets.py' holds no array of numbers",
    f"{MINE} --layers relu2 --directions relu2=wide.npy": "relu2 has 96 channels",
    f"{MINE} --layers relu2 --directions relu2=zero.npy": "direction 1 of relu2 is zero",
    f"{MINE} --directions relu2=zero.npy relu2=wide.npy": "relu2= was given twice",
    f"{EXEMPLARS} --of units": "of='units' was given, expected 'channels' or 'directions'",
    f"{EXEMPLARS} --of directions": "the store holds no directions of relu2; mine them",
    f"{EXEMPLARS} --end lowest": "the store holds no lowest images; mine them",
    "verify top.h5 --seed -1": "random_state=-1 was given, expected 0 or more",
    "embed top.h5 -o other.h5": "'other.h5' is there already; write to another file",
    f"{EXEMPLARS} --channels best": "channels were 'best'; write 0-15",
    "exemplars top.h5 --layer relu3": "there is no layer 'relu3' in 'top.h5'; did you mean 'relu2'",
    "exemplars unnamed.h5 --layer relu2": "from a ZFNetMini; say how to build the model",
}


@pytest.mark.parametrize(("command", "message"), BAD.items(), ids=BAD)
def test_one_line_that_says_what_to_do(files, monkeypatch, capfd, command, message):
    monkeypatch.chdir(files)
    before = {path: path.stat().st_mtime_ns for path in files.rglob("*") if path.is_file()}
    code, out, err = said(capfd, *command.split())
    assert (code, out) == (2, ""), err
    lines = [line for line in err.splitlines() if line and "%|" not in line]  # of a bar
    assert len(lines) == 1, err
    assert lines[0].startswith("deconvnet: error: ")
    assert re.search(message, lines[0]), lines[0]
    after = {path for path in files.rglob("*") if path.is_file() and "cache" not in str(path)}
    assert after <= set(before), "something was written"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"{VISUALIZE} --position one", "'one' was given, expected integers: 3,7"),
        (f"visualize {MODEL}", "required: IMAGE"),
        (f"{VISUALIZE} --unpooling nowhere", "invalid choice: 'nowhere'"),
        ("verify top.h5 -n 3,7", "'3,7' was given, expected a number or all"),
        (f"{VISUALIZE} --size 0", "'0' was given, expected pixels: 28, 28x28 or 1x28x28"),
        (
            f"{VISUALIZE} --layer relu3 --channel 1 --std a,b,c",
            "'a,b,c' was given, expected a number, or one for each channel",
        ),
        ("visualise", "invalid choice: 'visualise'"),
        ("", "required: COMMAND"),
    ],
)
def test_wrong_usage(capfd, command, message):
    code, out, err = said(capfd, *command.split())
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


EARLY = {
    f"{VISUALIZE} --width wide": "width 'wide' is neither",
    f"{VISUALIZE} -o a.jpeg": "a.jpeg",
    f"{VISUALIZE} --rectifier relu": "'relu'",
    f"{VISUALIZE} --channel best": "channels were 'best'",
    f"{VISUALIZE} --seed two": "the seed was 'two'",
    f"visualize {MODEL} none.jpg": "'none.jpg' cannot be used: no such file",
    f"{COMPARE} --sign minus": "sign='minus'",
    f"{COMPARE} --rectifiers relu": "'relu'",
    f"{COMPARE} --target relu3": "is no unit",
    f"{COMPARE} --width wide": "width 'wide' is neither",
    f"{EXEMPLARS} --width wide": "width 'wide' is neither",
    f"{EXEMPLARS} --rectifier relu": "'relu'",
    f"{EXEMPLARS} --channels best": "channels were 'best'",
    f"{EXEMPLARS} --channels 96": "there is no channel 96",
    "embed top.h5 --projections relu": "'relu'",
    f"{MINE} -k 0": "k=0",
    f"{MINE} --nan ignore": "nan was 'ignore'",
    f"{MINE} --device gpu": "device 'gpu'",
    f"{MINE} --shard 3/2": "3/2",
    f"{MINE} --store-projections relu": "'relu'",
    f"mine {MODEL} nowhere": "there is no folder 'nowhere'",
    f"layers {MODEL} --rectifier relu": "'relu'",
}


@pytest.mark.parametrize(("command", "message"), EARLY.items(), ids=EARLY)
def test_it_is_told_before_a_model_is_loaded(files, monkeypatch, capfd, command, message):
    def load(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.chdir(files)
    monkeypatch.setattr("deconvnet.zoo.load.load", load)
    monkeypatch.setattr("deconvnet.mining.source.load", load)
    code, _, err = said(capfd, *command.split())
    assert code == 2, err
    assert message in err
    with pytest.raises(AssertionError, match="a model is loaded"):
        said(capfd, *VISUALIZE.split())


@pytest.mark.parametrize("command", ["occlusion", "invariance", "localize", "why"])
def test_a_class_of_a_classifier_that_was_not_trained(files, monkeypatch, capfd, command):
    """The weights of a trunk leave the scores random."""
    state = zoo.zfnet_mini().state_dict()
    trunk = {name: value for name, value in state.items() if not name.startswith("classifier")}
    torch.save(trunk, files / "trunk.pth")
    monkeypatch.chdir(files)
    named = "--true 1" if command == "why" else "--target 1"
    code, _, err = said(
        capfd, command, MODEL, "photos/cat0.png", "--weights", "trunk.pth", *named.split()
    )
    assert code == 2
    assert "the class scores are not covered by the weights, which end below classifier" in err


def test_an_interruption(monkeypatch, capfd):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("deconvnet.cli.commands.layers.load_model", interrupt)
    code, out, err = said(capfd, "layers", MODEL)
    assert (code, out) == (130, "")
    assert err == "deconvnet: interrupted; nothing was written\n"


def test_warnings_are_one_line_and_leave_no_trace(capfd):
    before = warnings.showwarning
    code, _, err = said(capfd, "layers", "torchvision:squeezenet1_1", "--size", "64")
    assert code == 0
    assert err.startswith("deconvnet: warning: torchvision:squeezenet1_1 has random weights")
    assert len(err.splitlines()) == 1
    assert warnings.showwarning is before
