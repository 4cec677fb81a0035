"""Before a store is written, images are read once more by one process alone; nothing is lost."""

from __future__ import annotations

import errno
import os
import signal

import pytest
import torch

from deconvnet.mining.mine import ReaderDied, Unfinished, mine
from deconvnet.mining.run.reread import ImagesDiffer
from deconvnet.store.store import open_store
from tests.support.lazy_readers import Raw, the_images, the_model, wrong_entries

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


class Garbling(Raw):
    """What shared positions do, where nothing can see them: odd images are read wrong.

    Only where there are several readers, as the race would have it.
    """

    def __getitem__(self, index):
        info = torch.utils.data.get_worker_info()
        image = super().__getitem__(index)
        garbled = info is not None and info.num_workers > 1 and index % 3 == 1
        return image.flip(-1) if garbled else image


OPTIONS = {"k": 20, "batch_size": 8, "resume": True, "save_every": 0.0}


def test_images_are_read_once_more_by_one_reader_alone(raw, tmp_path):
    """What is wrong is set aside, never thrown away; the same call does it again."""
    path = tmp_path / "a.h5"
    said = r"gave [01]:\d an activation .*os\.getpid\(\).*doubtful"
    with pytest.raises(ImagesDiffer, match=said):
        mine(the_model(), Garbling(raw.file), path, workers=2, **OPTIONS)
    assert not path.exists()
    (aside,) = (tmp_path / "a.h5.parts").iterdir()
    assert aside.name.startswith("doubtful-0-of-1")
    told = []
    store = mine(the_model(), raw, path, workers=2, **OPTIONS, tell=told.append)
    assert wrong_entries(store, the_images()) == 0
    assert not any("going on" in one for one in told)  # nothing was there to be gone on with
    assert not aside.parent.exists()


def test_of_several_parts_the_wrong_one_is_found(raw, tmp_path):
    """Whoever puts them together looks at all of them, and touches none but the wrong one."""
    path = tmp_path / "a.h5"
    with pytest.raises(Unfinished):
        mine(the_model(), Garbling(raw.file), path, workers=2, shard=(0, 2), **OPTIONS)
    for _ in range(2):  # the right one again finds the other still to be done
        with pytest.raises((ImagesDiffer, Unfinished)):
            mine(the_model(), raw, path, workers=2, shard=(1, 2), **OPTIONS)
    names = sorted(file.name for file in (tmp_path / "a.h5.parts").iterdir())
    assert [name[: name.index("-of")] for name in names] == ["doubtful-0", "part-1"]
    store = mine(the_model(), raw, path, workers=2, shard=(0, 2), **OPTIONS)
    assert wrong_entries(store, the_images()) == 0


class Unlucky(Raw):
    """In the process that reads last, something is out of order for a while."""

    def __init__(self, file, count, error):
        super().__init__(file)
        self.seen, self.number, self.error = count, 0, error

    def __getitem__(self, index):
        if self.process != os.getpid():
            with open(self.seen, "a") as file:
                file.write("x")
            self.number, self.process = os.path.getsize(self.seen), os.getpid()
            self.handle = None
        if self.number == 4:  # the look, two readers, and then
            self.error()
        if self.handle is None:
            self.handle = self.open()
        return super().__getitem__(index)


def lost():
    raise OSError(errno.EIO, "Input/output error")


def stale():
    raise OSError(errno.ESTALE, "Stale file handle")


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("error", "ends"), [(lost, None), (stale, ValueError), (killed, ReaderDied)]
)
def test_work_is_kept_whatever_happens_when_it_is_looked_at_again(raw, tmp_path, error, ends):
    data, path, told = Unlucky(raw.file, tmp_path / "seen", error), tmp_path / "a.h5", []
    options = {**OPTIONS, "save_every": 1000.0}
    if ends is not None:
        with pytest.raises(ends):
            mine(the_model(), data, path, workers=2, **options)
        mine(the_model(), data, path, workers=2, **options, tell=told.append)
        assert told[-1:] == ["going on: 300 of 300 images are done already"]
    else:
        mine(the_model(), data, path, workers=2, **options)
    assert (tmp_path / "seen").read_text().count("x") >= 4
    assert wrong_entries(open_store(path), the_images()) == 0


class Woken(torch.nn.Module):
    """By torch.fx another model, which only bright images show: noise leaves the branch at rest."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        return y + torch.relu(y - 50) * (3 if torch.is_tensor(x) else 1)


def test_images_are_run_again_by_the_graph_that_mined_them(tmp_path):
    """Noise cannot tell torch.fx's graph from the model; the first microbatch does."""
    images = 300 * torch.rand(24, 3, 12, 12)
    store = mine(Woken(), list(images), tmp_path / "a.h5", k=3, batch_size=8, workers=1)
    right = Woken()(images).amax((2, 3)).T.sort(1, descending=True).values[:, :3]
    assert torch.allclose(torch.from_numpy(store["add"].activation), right, rtol=1e-5)
