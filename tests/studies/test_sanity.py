"""Sanity checks: curves against autograd and SciPy, controls, planted faults, and what is kept."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

import deconvnet as dn
from deconvnet import DeconvNet, Preprocessing, Unit
from deconvnet.figures import read_provenance
from deconvnet.studies.compare import compare
from deconvnet.studies.randomised import Randomiser, stages_of, weights_below
from deconvnet.studies.sanity import MEANING, sanity
from tests.support.randomisable import bits

SIDE = 24
PLAIN = Preprocessing((SIDE, SIDE), None, (0.0,) * 3, (1.0,) * 3)
IMAGES = torch.rand(
    4, 3, SIDE, SIDE, dtype=torch.double, generator=torch.Generator().manual_seed(0)
)


class Small(nn.Module):
    """Functions as rectifiers, a normalisation, and a pool."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.two = nn.Conv2d(8, 8, 3)
        self.fc = nn.Linear(8 * 9 * 9, 5)
        self.norm.running_mean.normal_(0, 0.1)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.one(x))), 2)
        return self.fc(F.relu(self.two(x)).flatten(1))


def checked(model=None, images=IMAGES, **options):
    model = Small().double().eval() if model is None else model
    return sanity(model, images, **{"preprocessing": PLAIN, "progress": False, **options})


@pytest.fixture(scope="module")
def shown():
    return checked(shown=2)


def drawn_anew(model, names, **how):
    """The model with other weights in these stages, as it is drawn."""
    other = copy.deepcopy(model)
    net = DeconvNet(other)
    randomiser = Randomiser(
        other, **{"init": "truncated_normal", "std": 0.01, "random_state": 0, **how}
    )
    for stage in stages_of(weights_below(net.graph, "fc"), 8):
        if stage.name in names:
            randomiser.draw(stage)
    return other


def slopes(model, target):
    pixels = IMAGES.clone().requires_grad_(True)
    scores = model(pixels)
    (slope,) = torch.autograd.grad(scores[range(len(target)), target].sum(), pixels)
    return slope.numpy()


@pytest.mark.parametrize("order", ["top-down", "bottom-up", "independent"])
def test_curves_are_those_of_gradients_by_autograd(order):
    model = Small().double().eval()
    result = checked(model, order=order, rectifiers="gradient")
    best = model(IMAGES).argmax(1).tolist()
    assert [unit.channel for unit in result.units] == best
    up = ["one", "two", "fc"]
    assert list(result.stages) == (up if order == "bottom-up" else up[::-1])
    trained = slopes(model, best)
    for number, stage in enumerate(result.stages):
        names = {stage} if order == "independent" else set(result.stages[: number + 1])
        made = slopes(drawn_anew(model, names), best)
        for image in range(len(IMAGES)):
            signed = [one[image].sum(0).ravel() for one in (trained, made)]
            absolute = [np.abs(one[image]).sum(0).ravel() for one in (trained, made)]
            for measure, pair in (("spearman", signed), ("absolute spearman", absolute)):
                value = result.similarity[measure]["gradient"][number, image]
                assert value == pytest.approx(spearmanr(*pair)[0], abs=1e-12), (stage, image)
    every = slopes(drawn_anew(model, set(up)), best)
    counts = np.histogram(every[0].sum(0), 100)[0] / every[0][0].size
    entropy = -sum(share * np.log(share) for share in counts if share)
    assert result.entropy["gradient"][1, 0] == pytest.approx(entropy, abs=1e-12)


def test_the_trained_net_is_in_no_mean(shown):
    """Planted wrong: Quantus averages the similarity of the trained net to itself, 1, too."""
    row = shown.similarity["spearman"]["noise"]
    assert row.shape == (len(shown.stages), len(IMAGES))
    quantus = np.r_[np.ones((1, len(IMAGES))), row].mean()
    assert abs(row.mean()) < 0.05 < quantus
    assert len(shown.table()) == len(shown.stages) * 6


def test_edges_stay_and_noise_passes(shown):
    for measure in shown.similarity:
        assert shown.curve(measure, "edges")[0].min() == 1
        assert np.abs(shown.curve(measure, "noise")[0]).max() < 0.25
    assert np.isnan(shown.curve("spearman", "constant")).all()
    assert shown.curve("ssim", "constant")[0].tolist() == [1] * len(shown.stages)
    assert (shown.complexity["edges"] == 0).all()


def test_guided_maps_of_functions_are_not_the_gradient(shown):
    """Planted wrong: tools that act on modules alone call the gradient of F.relu "guided"."""
    gradient, guided = (shown.curve("spearman", row)[0] for row in ("gradient", "guided"))
    assert np.abs(gradient - guided).min() > 0.05
    assert not np.allclose(shown.maps["gradient"][0], shown.maps["guided"][0])


def test_maps_are_those_of_the_stages(shown):
    model = Small().double().eval()
    best = model(IMAGES).argmax(1).tolist()
    assert shown.maps["gradient"].shape == (4, 2, SIDE, SIDE, 3)
    for number in range(4):
        made = slopes(drawn_anew(model, shown.stages[:number]), best)[:2].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(shown.maps["gradient"][number], made, rtol=1e-6, atol=1e-12)


def test_without_pooling_a_deconvnet_map_does_not_depend_on_the_image():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 20 * 20, 3),
    ).double()  # fmt: skip
    made = checked(model.eval(), target=1, shown=4, rectifiers=("deconvnet", "guided")).maps
    assert (made["deconvnet"] == made["deconvnet"][:, :1]).all()
    assert not (made["guided"] == made["guided"][:, :1]).all()
    assert not (made["deconvnet"] == made["deconvnet"][:1]).all(), "but on the weights"


def test_of_an_inner_unit_only_what_lies_below_is_drawn():
    model = Small().double().eval()
    made = checked(model, target=Unit("relu_1", 3), shown=4, init="reset")
    assert list(made.stages) == ["two", "one"]
    assert {unit.layer for unit in made.units} == {"two"}, "a unit that is off has a derivative"
    maps = F.max_pool2d(F.relu(model.norm(model.one(IMAGES))), 2)
    maps = model.two(maps)[:, 3].flatten(1)
    places = [divmod(int(best), 9) for best in maps.argmax(1)]
    assert [unit.position for unit in made.units] == places
    assert (np.abs(made.maps["gradient"]).sum((2, 3, 4)) > 0).all()
    above = checked(drawn_anew(model, {"fc"}), target=Unit("relu_1", 3), shown=4, init="reset")
    for row, values in made.similarity["hog"].items():
        np.testing.assert_array_equal(values, above.similarity["hog"][row])


def test_the_class_is_kept_or_that_of_the_net_as_it_is():
    model = Small().double().eval()
    kept, again = (
        checked(model, target=one, rectifiers="gradient", shown=4) for one in ("class", "likeliest")
    )
    made = drawn_anew(model, {"fc"})
    best, then = model(IMAGES).argmax(1).tolist(), made(IMAGES).argmax(1).tolist()
    assert best != then, "else there is nothing to tell apart"
    for result, target in ((kept, best), (again, then)):
        expected = slopes(made, target).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(result.maps["gradient"][1], expected, rtol=1e-6, atol=1e-12)
    assert (kept.target, again.target) == (
        "the likeliest class of the trained net",
        "the likeliest class of the net as it is then",
    )
    named = checked(model, target="b", classes=list("abcde"), rectifiers="gradient")
    assert [unit.channel for unit in named.units] == [1] * 4
    assert named.target == "b"


def test_noisy_copies_are_averaged():
    model = Small().double().eval()
    made = checked(model, noisy=3, rectifiers="gradient", shown=4)
    best = model(IMAGES).argmax(1).tolist()
    spread = IMAGES.flatten(1).amax(1) - IMAGES.flatten(1).amin(1)
    summed = 0
    for number in range(3):
        seed = np.random.SeedSequence((0, 0, number)).generate_state(1)
        drawn = torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(int(seed[0])))
        pixels = (IMAGES + 0.1 * spread[:, None, None, None] * drawn).requires_grad_(True)
        scores = model(pixels)[range(4), best].sum()
        summed = summed + torch.autograd.grad(scores, pixels)[0] / 3
    expected = summed.permute(0, 2, 3, 1)
    np.testing.assert_allclose(made.maps["gradient"][0], expected, rtol=1e-6, atol=1e-12)


def linear(middle):
    """A net without rectifiers, and with this matrix in the middle."""
    torch.manual_seed(0)
    n = middle.shape[0]
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * SIDE**2, n, bias=False), nn.Linear(n, n, bias=False),
        nn.Linear(n, n, bias=False),
    ).double()  # fmt: skip
    nn.init.orthogonal_(model[1].weight)
    nn.init.orthogonal_(model[3].weight)
    model[2].weight.data = torch.as_tensor(middle)
    return model.eval()


def test_convergence_is_1_after_a_rank_1_layer_and_unchanged_after_an_orthogonal_one():
    drawn = np.random.default_rng(0)
    turned, _ = np.linalg.qr(drawn.standard_normal((20, 20)))
    made = checked(linear(turned), rectifiers="gradient")
    assert list(made.places) == ["3", "2", "1"]
    values = made.convergence["gradient"]
    np.testing.assert_allclose(values, values[:1].repeat(3, 0), rtol=1e-10)
    assert values.max() < 0.6
    flat = checked(linear(np.outer(*drawn.standard_normal((2, 20)))), rectifiers="gradient")
    np.testing.assert_allclose(flat.convergence["gradient"][1:], 1, rtol=1e-10)
    assert flat.convergence["gradient"][0].max() < 0.6


def test_random_logit_is_of_another_class(shown):
    model = linear(np.outer(*np.random.default_rng(0).standard_normal((2, 20))))
    same = checked(model, rectifiers="gradient").logit["gradient"]
    np.testing.assert_allclose(same, 1, rtol=1e-6)  # all classes have one map, up to the sign
    assert shown.logit["gradient"].max() < 0.9
    assert (shown.logit["edges"] == 1).all()
    alone = checked(nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU()).double(), target=Unit("0", 0))
    assert np.isnan(alone.logit["gradient"]).all()


class Caching(Small):
    """A hook keeps the scores of images that it has seen."""

    def __init__(self):
        super().__init__()
        seen = {}

        def hook(module, args, output):
            kept = seen.setdefault(len(output), output.detach())
            return kept + (output - output.detach())  # whose derivative is right

        self.fc.register_forward_hook(hook)


class Held(Small):
    """The last layer works with a copy of its weights."""

    def __init__(self):
        super().__init__()
        self.held = self.fc.weight.detach().clone().double()

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.one(x))), 2)
        return F.linear(F.relu(self.two(x)).flatten(1), self.held) + 0 * self.fc.bias


@pytest.mark.parametrize("kind", [Caching, Held])
def test_a_model_that_does_not_use_its_weights_is_caught(kind):
    """Planted: else all similarities would be 1."""
    with pytest.raises(ValueError, match="are the same with random weights in fc: the model does"):
        checked(kind().double().eval(), rectifiers="gradient")


def test_maps_that_never_change_are_told(monkeypatch):
    """Planted: a rule, or a tool, that gives the maps of an earlier call."""
    seen, project = {}, DeconvNet.project

    def kept(net, images, **options):
        made = project(net, images, **options)
        key = str(net.policies.rectifier), str(options["units"])
        return seen.setdefault(key, made) if key[0] == "guided" else made

    monkeypatch.setattr(DeconvNet, "project", kept)
    result = checked(images=IMAGES[:2], rectifiers=("gradient", "guided"))
    assert result.curve("spearman", "guided")[0] == pytest.approx(1)
    assert len(result.notes) == 1
    assert result.notes[0].startswith("the maps of guided are the same in every state")
    assert result.notes[0] in result.caption


def test_a_dead_net_is_told():
    model = Small().double().eval()
    model.two.bias.data.fill_(-1e3)
    result = checked(model, stages=["one"], rectifiers=("gradient", "deconvnet"))
    assert any(note.startswith("with random one the values of fc are") for note in result.notes)
    assert {row["compared"] for row in result.table() if row["rectifier"] == "gradient"} == {0}
    assert result.figure()


class Uncopied(Small):
    """Cannot be copied, and is interrupted in some call."""

    interrupted = None

    def __deepcopy__(self, memo):
        raise RuntimeError("not this one")

    def watch(self, number):
        calls = []

        def hook(*_):
            calls.append(0)
            if len(calls) == number:
                raise KeyboardInterrupt

        self.two.register_forward_hook(hook)
        return calls


def test_a_model_that_cannot_be_copied_is_restored_bit_for_bit():
    model = Uncopied().double().eval()
    before = bits(model), [one.data_ptr() for one in model.parameters()]
    made = checked(model, init="reset")
    assert (bits(model), [one.data_ptr() for one in model.parameters()]) == before
    copied = checked(Small().double().eval(), init="reset")
    for row, values in made.similarity["spearman"].items():
        np.testing.assert_array_equal(values, copied.similarity["spearman"][row])


def test_also_after_an_interrupt():
    model = Uncopied().double().train()
    calls = model.watch(10**9)
    checked(model)
    (handle,) = model.two._forward_hooks.copy()
    del model.two._forward_hooks[handle]
    before = bits(model), [one.data_ptr() for one in model.parameters()]
    model.watch(len(calls) - 2)  # as the last stage is measured
    with pytest.raises(KeyboardInterrupt):
        checked(model)
    assert (bits(model), [one.data_ptr() for one in model.parameters()]) == before
    assert all(module.training for module in model.modules())


def test_a_model_that_can_be_copied_is_not_touched():
    model = Small().double().train()
    before = bits(model), [one._version for one in model.parameters()]
    net = DeconvNet(model, preprocessing=PLAIN)
    recording = net.record(IMAGES)
    checked(net)
    assert (bits(model), [one._version for one in model.parameters()]) == before
    assert net.project(recording, layer="fc", channel=0).shape == IMAGES.shape
    assert model.training


def test_the_graph_is_compared_once(monkeypatch):
    from deconvnet.projection.check import checked_graphs

    seen, judge = [], checked_graphs.judge
    monkeypatch.setattr(checked_graphs, "judge", lambda *a, **k: seen.append(a) or judge(*a, **k))
    checked(order="independent")
    assert len(seen) <= 2, "of the model and of its copy"


def test_two_runs_are_the_same_and_a_seed_makes_another():
    one, two, other = (checked(random_state=seed) for seed in (3, 3, 4))
    for row, values in one.similarity["ssim"].items():
        np.testing.assert_array_equal(values, two.similarity["ssim"][row])
    assert (one.similarity["ssim"]["gradient"] != other.similarity["ssim"]["gradient"]).all()


def test_its_figure_table_and_provenance(shown, tmp_path):
    how = read_provenance(shown.save(tmp_path / "one.pdf", caption=True))
    assert (how["study"], how["order"], how["stages"]) == ("Sanity", "top-down", "fc, two, one")
    assert MEANING in shown.caption
    row = shown.table()[0]
    assert (row["stage"], row["rectifier"]) == ("fc", "gradient")
    assert row["spearman_low"] < row["spearman"] < row["spearman_high"]
    names = [row["rectifier"] for row in shown.scores()]
    assert names == ["gradient", "deconvnet", "guided", "edges", "noise", "constant"]
    assert len(repr(shown).splitlines()) == 5
    assert len(repr(shown)) <= 600


def test_other_figures_carry_a_line_of_it(shown):
    model = Small().double().eval()
    made = compare(
        model, IMAGES[:1], rectifiers=("guided", "gradient"), preprocessing=PLAIN, sanity=shown
    )
    end = shown.similarity["spearman"]["guided"][-1].mean()
    assert f"guided spearman {end:.2f}, absolute spearman" in made.sanity
    assert "(3 stages top-down, 4 images, the likeliest class" in made.sanity
    words = " ".join(text.get_text() for text in made.figure().axes[0].texts)
    assert f"guided spearman {end:.2f}" in words, "with no caption asked for, too"
    assert made._made()["sanity"] == made.sanity
    with pytest.raises(KeyError, match="'identity' was not checked"):
        compare(model, IMAGES[:1], rectifiers="identity", preprocessing=PLAIN, sanity=shown)
    with pytest.raises(TypeError, match=r"expected the result of deconvnet\.sanity"):
        compare(model, IMAGES[:1], preprocessing=PLAIN, sanity=0.5)
    with pytest.raises(ValueError, match="the sanity check is of Small, the figure of Held"):
        compare(Held().double().eval(), IMAGES[:1], preprocessing=PLAIN, sanity=shown)


def test_exemplars_carry_it_too(shown, tmp_path):
    model = Small().double().eval()
    store = dn.mine(model, IMAGES, tmp_path / "top.h5", ["two"], 2, preprocessing=PLAIN)
    made = dn.exemplars(store, "two", [0, 1], rectifier="guided", sanity=shown, progress=False)
    assert made.sanity == shown.line("guided")
    words = " ".join(text.get_text() for text in made.figure().axes[0].texts)
    assert "Similarity to maps of random weights" in words


BAD = {
    "order='downward'": {"order": "downward"},
    "init='zeros'": {"init": "zeros"},
    "shown=0": {"shown": 0},
    "noisy=-1": {"noisy": -1},
    "rectifiers=": {"rectifiers": []},
    "expected 'class', 'likeliest'": {"target": None},
    "2 targets were given for 4 images": {"target": [0, 1]},
    "target=7 was given; the classes of fc are 0 to 4": {"target": 7},
    "no layer is called 'conv9'": {"target": Unit("conv9", 0)},
    "two has no channel 99": {"target": Unit("two", 99)},
    "units of 2 layers": {"target": [Unit("one", 0), Unit("two", 0)] * 2},
    "units and classes were given": {"target": [Unit("one", 0), 1] * 2},
    "which is none of the class names": {"target": "zebra"},
    "is called 'three'": {"stages": ["three"]},
}


@pytest.mark.parametrize("said", BAD)
def test_bad_input_is_told_before_the_work(said, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.sanity_run.Measured.take", None)
    with pytest.raises((ValueError, TypeError, LookupError)) as told:
        checked(images=IMAGES, **BAD[said])
    assert said in str(told.value)


def test_an_activation_without_a_rule_is_told():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(4 * 22 * 22, 3))
    with pytest.raises(dn.UnmirroredError, match="GELU"):
        checked(model.double(), rectifiers=("gradient", "guided"))
    made = checked(DeconvNet(model.double(), fallback="derivative", preprocessing=PLAIN))
    assert made.rectifiers == ["gradient", "deconvnet", "guided"]
