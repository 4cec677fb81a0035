"""Made-up views of objects: decided by a seed, showing their object, disturbed on purpose."""

import pytest
import torch

from deconvnet.zoo import disturbing
from deconvnet.zoo.collage import Collage
from deconvnet.zoo.views import EXAMINATION, TRAINING, Views, seed_of
from tests.support.objects import draw_objects


@pytest.fixture
def folders(tmp_path):
    return draw_objects(tmp_path)


def test_views_follow_from_the_seed(folders):
    collage = Collage(*folders)
    assert collage.names == ["angular/square", "round/disc"]
    images, labels = collage.batch(6, torch.Generator().manual_seed(1))
    again, same = collage.batch(6, torch.Generator().manual_seed(1))
    other, _ = collage.batch(6, torch.Generator().manual_seed(2))
    assert images.shape == (6, 3, 96, 96)
    assert torch.equal(images, again)
    assert torch.equal(labels, same)
    assert not torch.equal(images, other)
    assert 0 <= images.min() < images.max() <= 1


def red(images):
    """The share of each view that shows something red: only the objects are."""
    return (images[:, 0] - images[:, 2] > 0.2).flatten(1).float().mean(dim=1)


def test_views_show_their_object(folders):
    collage = Collage(*folders)
    images, labels = collage.batch(64, torch.Generator().manual_seed(0))
    coloured = (images[:, 0] != images[:, 2]).flatten(1).any(dim=1)
    shares = red(images[coloured])
    assert 32 < coloured.sum() < 60  # the others are grey on purpose
    assert ((shares > 0.02) & (shares < 0.95)).float().mean() > 0.9  # an object, and not only it
    assert set(labels.tolist()) == {0, 1}
    collage._objects = torch.zeros_like(collage._objects)
    blank, _ = collage.batch(64, torch.Generator().manual_seed(0))
    assert red(blank).max() == 0


def test_folders_without_pictures_are_refused(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no picture in"):
        Collage(tmp_path / "empty", folders[1])
    with pytest.raises(FileNotFoundError, match="400 pixels high and wide"):
        Collage(*folders, size=400)


def test_an_undisturbed_collage_is_only_that(folders):
    collage = Collage(*folders)
    plain = collage.undisturbed()
    assert (collage.occluded, collage.blurred) == (0.25, 0.25)
    assert (plain.occluded, plain.blurred) == (0, 0)
    views, plain_views = (c.batch(64, generator(0))[0] for c in (collage, plain))
    changed = (views != plain_views).flatten(1).any(dim=1)
    assert 16 < changed.sum() < 48  # 44 % are expected: the rest is the same, draw for draw
    assert torch.equal(plain_views, collage.undisturbed().batch(64, generator(0))[0])


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_something_in_front_covers_a_rectangle():
    images, covers = torch.zeros(200, 2, 40, 60), torch.ones(200, 2, 40, 60)
    seen = disturbing.occluded(images, covers, share=0.3, generator=generator(0))
    covered = seen.flatten(1).any(dim=1)
    assert 40 <= covered.sum() <= 80
    assert not images.any()
    for image in seen[covered]:
        rows, columns = image[0].any(dim=1), image[0].any(dim=0)
        assert torch.equal(image[0], image[1])
        assert torch.equal(image[0].bool(), rows[:, None] & columns)  # a rectangle, and full
        assert 0.15 * 40 <= rows.sum() <= 0.55 * 40
        assert 0.15 * 60 <= columns.sum() <= 0.55 * 60


def energy(images):
    """What blur takes away: the squared steps between neighbours."""
    return images.diff(dim=3).square().sum((1, 2, 3)) + images.diff(dim=2).square().sum((1, 2, 3))


def test_blur_smooths_some_and_keeps_the_mean():
    images = torch.rand(100, 3, 24, 24, generator=generator(1))
    seen = disturbing.blurred(images, share=0.4, generator=generator(0))
    changed = (seen != images).flatten(1).any(dim=1)
    assert 25 <= changed.sum() <= 55
    assert (energy(seen)[changed] < 0.6 * energy(images)[changed]).all()
    flat = torch.full((4, 3, 24, 24), 0.25)
    assert torch.allclose(disturbing.blurred(flat, share=1, generator=generator(0)), flat)


def test_each_image_has_a_blur_of_its_own_and_the_same_in_all_directions():
    point = torch.zeros(5, 3, 31, 31)
    point[:, :, 15, 15] = 1
    seen = disturbing.blurred(point, share=1, generator=generator(3))
    assert torch.allclose(seen, seen.transpose(2, 3))
    assert torch.equal(seen[:, 0], seen[:, 2])
    assert torch.allclose(seen.sum((2, 3)), torch.ones(5, 3))
    assert len(set(seen[:, 0, 15, 15].tolist())) == 5
    assert (seen[:, 0, 15, 15] > seen[:, 0, 15, 16]).all()


@pytest.mark.parametrize("name", ["occluded", "blurred"])
def test_no_share_disturbs_nothing_and_draws_as_much(name):
    images = torch.rand(9, 3, 20, 20, generator=generator(1))
    others = (torch.zeros_like(images),) if name == "occluded" else ()
    states = []
    for share in (0.0, 1.0):
        decides = generator(0)
        seen = getattr(disturbing, name)(images, *others, share=share, generator=decides)
        assert torch.equal(seen, images) == (share == 0)
        states.append(decides.get_state())
    assert torch.equal(*states)  # so that views with and without stay comparable


def test_batches_are_found_again_by_their_number(folders):
    views = Views(Collage(*folders), 5, purpose=TRAINING, batch=3)
    third, labels = views.draw(2)
    assert torch.equal(list(views.first(3))[2][0], third)
    ahead = views.ahead(1)
    next(ahead)
    coming, same = next(ahead)
    assert torch.equal(coming, third)
    assert torch.equal(same, labels)
    other = Views(views.collage, 5, purpose=EXAMINATION, batch=3)
    assert not torch.equal(other.draw(2)[0], third)


def test_a_view_can_be_asked_for(folders):
    views = Views(Collage(*folders).undisturbed(), 0, purpose=EXAMINATION, batch=3)
    images, labels = views.draw(0, labels=torch.tensor([1, 1, 0, 1]))
    assert labels.tolist() == [1, 1, 0, 1]
    assert images.shape == (4, 3, 96, 96)


def test_seeds_of_purposes_never_meet():
    seeds = {seed_of(s, p, n) for s in range(4) for p in range(4) for n in range(25)}
    assert len(seeds) == 400  # the sum of the three would meet itself all the time
