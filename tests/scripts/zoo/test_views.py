"""Made-up views of objects: decided by a seed, showing their object, disturbed on purpose."""

import pytest
import torch

from scripts.zoo import augmentation
from scripts.zoo.views import EXAMINATION, TRAINING, Pictures, Views, seed_of
from tests.support.objects import draw_objects


@pytest.fixture
def pictures(tmp_path):
    return Pictures(*draw_objects(tmp_path))


def views(pictures, count, seed=0, purpose=TRAINING, **more):
    made = Views(pictures, seed, purpose=purpose, labels=count, **more)
    images, labels = zip(*(made[number] for number in range(len(made))), strict=True)
    return torch.stack(images), list(labels)


def test_views_follow_from_the_seed_and_their_number(pictures):
    assert pictures.names == ["angular/square", "round/disc"]
    images, labels = views(pictures, 6)
    torch.manual_seed(99)  # somebody else's
    again, same = views(pictures, 6)
    assert images.shape == (6, 3, 96, 96)
    assert images.dtype == torch.float32
    assert torch.equal(images, again)
    assert labels == same
    assert not torch.equal(images, views(pictures, 6, seed=1)[0])
    assert not torch.equal(images, views(pictures, 6, purpose=EXAMINATION)[0])
    batches = list(Views(pictures, 0, purpose=TRAINING, labels=6).batches(2, first=2, workers=1))
    assert torch.equal(torch.cat([batch for batch, _ in batches]), images[2:])


def test_making_views_leaves_the_random_numbers_alone(pictures):
    torch.manual_seed(5)
    views(pictures, 2)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_a_view_can_be_asked_for(pictures):
    images, labels = views(pictures, [1, 1, 0, 1])
    assert labels == [1, 1, 0, 1]
    assert len(images) == 4


def red(images):
    """The share of each view that shows something red: only the objects are."""
    return (images[:, 0] - images[:, 2] > 0.2).flatten(1).float().mean(dim=1)


def pasted(pictures, count=64):
    torch.manual_seed(0)
    made = [
        augmentation.pasted(pictures.objects[i % 2], pictures.photographs[0]) for i in range(count)
    ]
    return torch.stack(made)


def test_views_show_their_object(pictures):
    images = pasted(pictures)
    assert 0 <= images.min() < images.max() <= 1
    coloured = (images[:, 0] - images[:, 2]).abs().flatten(1).amax(1) > 0.01
    shares = red(images[coloured])
    assert 32 < coloured.sum() < 60  # the others are grey on purpose
    assert ((shares > 0.02) & (shares < 0.95)).float().mean() > 0.9  # an object, and not only it
    pictures.objects.zero_()
    assert red(pasted(pictures)).max() == 0


def test_folders_without_pictures_are_refused(tmp_path):
    objects, photographs = draw_objects(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no picture in"):
        Pictures(tmp_path / "empty", photographs)
    _, small = draw_objects(tmp_path / "small", side=90)
    with pytest.raises(FileNotFoundError, match="96 pixels high and wide"):
        Pictures(objects, small)


def test_undisturbed_views_are_the_same_but_for_that(pictures):
    disturbed, _ = views(pictures, 64)
    plain, _ = views(pictures, 64, disturb=False)
    changed = (disturbed != plain).flatten(1).any(dim=1)
    assert 16 < changed.sum() < 48  # 44 % are expected: the rest is the same, draw for draw


def test_something_in_front_covers_a_rectangle():
    white, black = torch.ones(3, 96, 96), torch.zeros(3, 96, 96, dtype=torch.uint8)
    torch.manual_seed(0)
    covered = 0
    for _ in range(200):
        seen = augmentation.disturbed(white, black)
        if (seen == 0).any() and bool(((seen == 0) | (seen == 1)).all()):  # covered, not blurred
            inside = seen[0] == 0
            rows, columns = inside.any(dim=1), inside.any(dim=0)
            assert torch.equal(inside, rows[:, None] & columns)  # a rectangle, and full
            assert 0.03 * 96**2 < inside.sum() < 0.27 * 96**2
            covered += 1
    assert 20 < covered < 65  # 19 % are expected


def test_blur_smooths_some(monkeypatch):
    noise = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(augmentation, "_COVER", lambda view: view)
    torch.manual_seed(0)
    black = torch.zeros(3, 96, 96, dtype=torch.uint8)
    seen = [augmentation.disturbed(noise, black) for _ in range(100)]
    blurred = [view for view in seen if not torch.equal(view, noise)]
    assert 12 < len(blurred) < 40
    assert all(view.std() < 0.7 * noise.std() for view in blurred)
    assert all(abs(view.mean() - noise.mean()) < 0.01 for view in blurred)


def test_seeds_of_purposes_never_meet():
    seeds = {seed_of(s, p, n) for s in range(4) for p in range(4) for n in range(25)}
    assert len(seeds) == 400  # the sum of the three would meet itself all the time
