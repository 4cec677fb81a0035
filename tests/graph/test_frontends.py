"""Models that torch.fx cannot follow are read by torch.export, for each size of images anew."""

import pytest
import torch

import deconvnet
from deconvnet import DeconvNet, Unit, UntraceableError
from deconvnet.graph.export import export
from deconvnet.graph.frontends import Graphs
from tests.integration.test_untouched import frozen
from tests.support.hostile import (
    HOSTILE,
    ByCount,
    BySample,
    BySize,
    Counting,
    Deciding,
    Keeping,
    Refining,
    made,
)
from tests.support.mined import pictures
from tests.support.networks import live_units, noise
from tests.support.reference import EveryRelu, assert_same

IMAGES = noise(3, 3, 12, 12)


def expected(model, images, units, policy):
    """Each unit's signal, by autograd through the model as it is written."""
    images = images.clone().requires_grad_()
    with EveryRelu(policy):
        maps = model(images)
    found = []
    for unit in units:
        start = torch.zeros_like(maps)
        start[(unit.image, unit.channel, *(unit.position or ()))] = 1.0
        (signal,) = torch.autograd.grad(maps, images, start, retain_graph=True)
        found.append(signal[unit.image])
    return torch.stack(found)


@pytest.mark.parametrize("policy", ["gradient", "deconvnet", "guided"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_torch_fx_cannot_follow_is_projected(kind, policy):
    model = made(kind)
    assert Graphs(model).any_size is None, "torch.fx follows it: it shows nothing"
    net = DeconvNet(model, policy)
    recording = net.record(IMAGES)
    (last,) = net.graph.returned
    torch.testing.assert_close(recording[last], model(IMAGES).detach())
    units = live_units(recording, last)
    found = net.project(IMAGES, units=units, seed="one")
    assert_same(found, expected(model, IMAGES, units, policy))


def test_the_law_catches_another_policy_and_another_branch():
    model = made(BySize)
    net = DeconvNet(model, "guided")
    units = live_units(net.record(IMAGES), net.graph.returned[0])
    found = net.project(IMAGES, units=units, seed="one")
    with pytest.raises(AssertionError, match="is off by"):
        assert_same(found, expected(model, IMAGES, units, "deconvnet"))
    model.between = lambda x: x
    with pytest.raises(AssertionError, match=r"is off by|is dead"):
        assert_same(found, expected(model, IMAGES, units, "guided"))


def test_images_of_another_size_take_another_way():
    net = DeconvNet(made(BySize), "gradient")
    large, small = noise(2, 3, 12, 12), noise(2, 3, 7, 7)
    recordings = [net.record(images, ["two", "relu_1"]) for images in (large, small, large)]
    assert ["pool" in r.sizes for r in recordings] == [True, False, True]
    assert net.layers["relu"].size == (12, 12)
    assert net.geometry((3, 7, 7)).sizes["two"] == (1, 4, 5, 5)
    for images, recording in zip((large, small, large), recordings, strict=True):
        by_recording = net.project(recording, layer="two", channel=1)
        assert torch.equal(by_recording, net.project(images, layer=net.model.two, channel=1))
    with pytest.raises(KeyError, match="no layer is called 'pool'"):
        net.project(small, layer="pool", channel=0)


def test_each_size_is_read_once(monkeypatch):
    read = []

    def counted(model, example, *inputs):
        read.append(tuple(example.shape))
        return export(model, example, *inputs)

    monkeypatch.setattr("deconvnet.graph.frontends.export", counted)
    net = DeconvNet(made(BySize))
    for count in (3, 2, 5, 1, 1):
        net.project(noise(count, 3, 12, 12), layer="two", channel=0)
    assert read == [(3, 3, 12, 12), (1, 3, 12, 12)], "any number of images but one is one graph"
    net = DeconvNet(made(BySample))
    for count in (3, 2, 3):
        net.record(noise(count, 3, 12, 12))
    assert [shape[0] for shape in read[2:]] == [3, 2], "the model asks how many there are"


def test_one_image_may_be_treated_in_another_way():
    model = made(ByCount)
    for count in (1, 2):
        images = noise(count, 3, 12, 12)
        (found,) = DeconvNet(model).record(images).activations.values()
        torch.testing.assert_close(found, model(images).detach())


def test_before_images_are_seen():
    net = DeconvNet(made(BySize))
    with pytest.raises(UntraceableError, match=r"shape\[2\] > 8.*torch.fx: .*give input_size="):
        _ = net.graph
    assert net.layers["two"].channels == 4, "the size is taken to be 224 x 224"
    early = DeconvNet(made(BySize), input_size=(3, 7, 7))
    assert "pool" not in early.graph.nodes
    assert early.layers["two"].size == (5, 5)


@pytest.mark.parametrize(("kind", "line"), [(Deciding, "if x.sum() > 0"), (Counting, "int(x.max")])
def test_if_both_fail_the_error_says_why(kind, line, capfd, tmp_path):
    model = made(kind)
    calls = (
        lambda: DeconvNet(model, input_size=(3, 12, 12)).record(IMAGES),
        lambda: DeconvNet(model).record(IMAGES),
        lambda: DeconvNet(model).record(IMAGES, "top"),
        lambda: deconvnet.mine(model, list(IMAGES), tmp_path / "a.h5"),
    )
    before = {name: frozen(vars(m)) for name, m in model.named_modules()}
    for call in calls:
        with pytest.raises(UntraceableError) as caught:
            call()
        for part in (
            kind.__name__, "cannot be traced at", "hostile.py:", line, "torch.fx says: ",
            "torch.export says: ", "data-dependent", "torch.fx.wrap",
        ):  # fmt: skip
            assert part in str(caught.value), part
    assert list(DeconvNet(model).layers) == ["one", "relu"], "those below the line are there"
    assert {name: frozen(vars(m)) for name, m in model.named_modules()} == before
    assert capfd.readouterr() == ("", ""), "torch.export writes to the terminal"


def test_a_model_that_is_read_by_export_is_mined(tmp_path):
    images = pictures(nan=False).double()
    stores = []
    for kind, size in ((BySize, 4), (BySample, 4), (BySize, 3)):
        model = made(kind).train()
        net = DeconvNet(model)
        path = tmp_path / f"{len(stores)}.h5"
        store = deconvnet.mine(model, list(images), path, k=3, batch_size=size)
        stores.append(store)
        assert model.training
        if kind is BySize:
            best = net.record(images, "two")["two"].flatten(2).amax(2).amax(0)
            assert store["two"].activation[:, 0] == pytest.approx(best.numpy(), rel=1e-6)
    one, _, other = stores
    assert one.attributes["model_fingerprint"] == other.attributes["model_fingerprint"]
    first = {key: getattr(one["two"], key)[1, 0] for key in ("image", "row", "col", "box")}
    unit = Unit("two", 1, int(first["row"]), int(first["col"]))
    net = DeconvNet(made(BySize), input_size=images.shape[1:])
    (crop,) = net.project(images[first["image"]][None], units=[unit], crop=True)
    assert (*crop.box.start, *crop.box.stop) == tuple(first["box"])


def test_nothing_of_the_reading_is_left_in_the_model():
    model = made(Keeping)
    (found,) = DeconvNet(model).record(IMAGES).activations.values()
    assert (model.kept, model.seen, model.last) == ({}, [], None)
    torch.testing.assert_close(found, model(IMAGES).detach())
    assert type(model.kept["ramp"]) is torch.Tensor
    before = dict(model.kept)
    assert DeconvNet(model, input_size=(3, 12, 12)).graph
    assert model.kept == before
    assert len(model.seen) == 1


def test_torch_export_finds_the_model_as_it_was(monkeypatch):
    """Torch 2.6 and 2.7 refuse a model whose lists or dictionaries have grown in the forward."""
    export, found = torch.export.export, []

    def looking(model, images, **rest):
        model(*images)
        found.append((dict(model.kept), list(model.seen), model.last))
        return export(model, images, **rest)

    monkeypatch.setattr("torch.export.export", looking)
    assert DeconvNet(made(Keeping), input_size=(3, 12, 12)).graph
    assert found
    assert all(kept == ({}, [], None) for kept in found)


def test_the_model_is_what_it_was_also_its_hooks():
    model = made(Refining).train()
    model.pool.eval()
    model.two.weight.requires_grad_(False)
    model.relu.register_forward_hook(lambda *args: None)
    random = torch.get_rng_state()
    before = {name: (id(m), frozen(vars(m))) for name, m in model.named_modules()}
    images = IMAGES.clone()
    net = DeconvNet(model)
    assert net.project(images, layer="two", channel=0).any()
    assert net.layers
    assert {name: (id(m), frozen(vars(m))) for name, m in model.named_modules()} == before
    assert torch.equal(images, IMAGES)
    assert torch.equal(torch.get_rng_state(), random)
    model.pool.train()
    assert {name: (id(m), frozen(vars(m))) for name, m in model.named_modules()} != before
