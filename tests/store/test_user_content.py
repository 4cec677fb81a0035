"""What a user has put into a store is kept by whatever rewrites it, and not replaced unasked."""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import Preprocessing, embed, mine, open_store
from deconvnet.mining.mine import Unfinished
from deconvnet.store.user_content import additions
from tests.support.commands import make_files, said
from tests.support.mined import Pictures
from tests.support.mining_runs import After

PREPARE = Preprocessing((9, 9), 9, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGES = torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(1)) * 2 - 1


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


def mined(path, **options):
    return mine(model(), Pictures(IMAGES), path, k=2, batch_size=2, **options)


def embedded(store, **options):
    return embed(open_store(store), model(), Pictures(IMAGES), preprocessing=PREPARE, **options)


def add(path):
    """All kinds of things, in all kinds of places."""
    numbers = np.random.default_rng(0)
    with h5py.File(path, "r+") as file:
        notes = file.create_group("notes")
        notes["mean"] = numbers.random((7, 5))
        notes["names"] = ["a cat", "Café ☕", ""]
        notes["name"] = "one text"
        notes["fixed"] = np.array([b"ab", b"c"])
        notes["number"] = np.int16(-3)
        notes["nothing"] = h5py.Empty("f4")
        notes["yes"] = np.array([True, False])
        rows = [(1, 0.5), (2, 0.25)]
        notes["rows"] = np.array(rows, dtype=[("index", "<i4"), ("value", ">f8")])
        notes.create_dataset("packed", data=np.arange(9000).reshape(90, 100), compression="gzip",
                             chunks=(7, 100), maxshape=(None, 100), shuffle=True)  # fmt: skip
        notes.create_dataset("growing", data=["x", "yy"], maxshape=(None,), chunks=(1,))
        notes.create_dataset("unwritten", shape=(10**7, 10**7), dtype="f8")
        notes.create_dataset("sparse", shape=(100, 100), dtype="f4", chunks=(10, 10))[50, 50] = 3
        notes["deep/er/most"] = 1
        notes["again"] = notes["mean"]
        notes["itself"] = notes
        notes["best"] = file["layers/1/activation"]
        file["aside"] = h5py.SoftLink("/notes/mean")
        file["away"] = h5py.ExternalLink("other.h5", "/x")
        file["layers/1/labels"] = numbers.integers(0, 9, 4)
        file["images/class"] = numbers.integers(0, 9, len(file["images/index"]))
        file.attrs["author"] = "me"
        file.attrs["tags"] = ["one", "two"]
        file["layers/1"].attrs["matrix"] = np.eye(3)
        file["layers/1/activation"].attrs["unit"] = "none"
        notes.attrs["empty"] = h5py.Empty("f4")
        notes["mean"].attrs["scale"] = np.float32(2)


ADDED = ["/aside", "/away", "/images/class", "/layers/1/labels", "/notes"]


def contents(group, path=""):
    """Everything in a file by its path, with attributes; links as they are written."""
    found = {path: _told(group)}
    for name in group:
        link, where = group.get(name, getlink=True), f"{path}/{name}"
        if not isinstance(link, h5py.HardLink):
            found[where] = (type(link).__name__, link.path)
        elif isinstance(group[name], h5py.Group) and name != "itself":
            found |= contents(group[name], where)
        else:
            found[where] = _told(group[name])
    return found


def _told(thing):
    attributes = {name: _plain(value) for name, value in thing.attrs.items()}
    if not isinstance(thing, h5py.Dataset):
        return attributes
    how = (thing.dtype, thing.shape, thing.chunks, thing.compression, thing.maxshape)
    values = None if thing.name.endswith("unwritten") else _plain(thing[()])
    return attributes, how, values


def _plain(value):
    if isinstance(value, h5py.Empty):
        return "empty"
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return repr(value)


def test_embedding_keeps_everything(tmp_path):
    path = tmp_path / "a.h5"
    mined(path)
    add(path)
    with h5py.File(path) as file:
        before = contents(file)
    assert additions(path) == ADDED
    for policies in ("guided", ()):
        made = embedded(path, rectifiers=policies)
        assert made.pictures["1"].projections.keys() == {"guided"}
        with h5py.File(path) as file:
            after = contents(file)
            assert {name: after.get(name) for name in before} == before
            assert file["notes/again"] == file["notes/mean"], "one object of two names"
            assert file["notes/best"] == file["layers/1/activation"]
            assert file["notes/itself"] == file["notes"]
        assert additions(path) == ADDED
    assert path.stat().st_size < 300_000, "what was never written takes no room"
    other = embedded(path, path=tmp_path / "b.h5").path
    with h5py.File(other) as file:
        assert {name: contents(file).get(name) for name in before} == before
    assert embedded(path, path=tmp_path / "c.h5").path.read_bytes() == other.read_bytes()


def test_attributes_of_other_kinds_are_passed_over(tmp_path):
    path = tmp_path / "a.h5"
    mined(path)
    with h5py.File(path, "r+") as file:
        file.attrs["author"] = np.bytes_(b"me")  # of fixed length, as other programs write them
        file["layers/1"].attrs["matrix"] = np.eye(3)
    store = open_store(path)
    assert "author" not in store.attributes
    assert embedded(path).path == path
    with h5py.File(path) as file:
        assert file.attrs["author"] == b"me"


def test_a_store_with_nothing_added_has_no_additions(tmp_path):
    mined(tmp_path / "a.h5")
    assert additions(embedded(tmp_path / "a.h5", rectifiers="guided").path) == []


# --- what cannot be carried over is refused before any picture is made ----------------------------


def references(file, _):
    file.create_dataset("odd", data=[file["layers"].ref], dtype=h5py.ref_dtype)


def lists(file, _):
    file.create_dataset("odd", shape=(2,), dtype=h5py.vlen_dtype("i4"))[0] = [1, 2]


def an_attribute(file, _):
    file.create_group("odd").attrs.create("r", file["layers"].ref, dtype=h5py.ref_dtype)


def external(file, folder):
    secret = folder / "secret"
    secret.write_bytes(b"the password is secret!!")
    file.create_dataset("odd", (24,), "u1", external=[(str(secret), 0, 24)])


def virtual(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.arange(4)
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (4,))
    file.create_virtual_dataset("odd", layout)


@pytest.mark.parametrize(
    ("put", "reason"),
    [(references, "its values: references"), (lists, "its values: references or lists of var"),
     (an_attribute, "attribute r: references"), (external, "its values are in another file"),
     (virtual, "its values are in another file")],
)  # fmt: skip
def test_what_cannot_be_carried_over(tmp_path, put, reason):
    path = tmp_path / "a.h5"
    mined(path)
    with h5py.File(path, "r+") as file:
        put(file, tmp_path)
    before, made = path.read_bytes(), []
    with pytest.raises(ValueError, match=rf"'/odd' was added .* \({reason}.*to a file of its own"):
        embedded(path, report=lambda *numbers: made.append(numbers))
    assert path.read_bytes() == before
    assert made == []


def test_texts_that_share_their_bytes_are_no_bomb(tmp_path):
    """A file may let any number of texts point to one, and name its length as it likes."""
    path = tmp_path / "a.h5"
    mined(path)
    with h5py.File(path, "r+") as file:
        data = file.create_dataset("many", shape=(3000,), dtype=h5py.string_dtype())
        data[0] = "x" * 20_000
    raw = path.read_bytes()
    with h5py.File(path) as file:
        start = file["many"].id.get_offset()
    first = raw[start : start + 16]
    path.write_bytes(raw[:start] + first * 3000 + raw[start + 16 * 3000 :])
    with h5py.File(path) as file:
        assert len(file["many"][2999]) == 20_000
    with pytest.raises(ValueError, match="/many and what was read before are more than the"):
        embedded(path)


# --- a store that is replaced ---------------------------------------------------------------------


@pytest.mark.parametrize("resume", [None, False])
def test_a_store_with_additions_is_not_replaced_unasked(tmp_path, resume):
    path = tmp_path / "a.h5"
    mined(path)
    mined(path, resume=resume)
    add(path)
    before = path.read_bytes()
    message = (
        r"to be replaced, and holds /aside, /away, .*/notes, which somebody .*--discard-groups"
    )
    with pytest.raises(ValueError, match=message):
        mined(path, resume=resume)
    assert path.read_bytes() == before
    mined(path, resume=resume, discard_groups=True)
    assert additions(path) == []


def test_additions_that_came_while_a_replacement_was_made(tmp_path):
    path = tmp_path / "a.h5"
    mined(path)
    with pytest.raises(Unfinished):
        mined(path, resume=False, save_every=0, stop=After(1))
    with h5py.File(path, "r+") as file:
        file["notes"] = 1
    for discard_groups in (False, True):  # it is no longer the file that was to be replaced
        with pytest.raises(ValueError, match=r"is finished, .*move that file away"):
            mined(path, resume=True, discard_groups=discard_groups)
        assert additions(path) == ["/notes"]
    with pytest.raises(ValueError, match="to be replaced, and holds /notes"):
        mined(path, resume=False)
    mined(path, resume=False, discard_groups=True)
    assert additions(path) == []


def test_a_store_that_is_finished_is_left_alone(tmp_path):
    path = tmp_path / "a.h5"
    mined(path)
    add(path)
    before = path.read_bytes()
    assert mined(path, resume=True).attributes["author"] == "me"
    assert path.read_bytes() == before


def test_the_command(tmp_path, capfd):
    make_files(tmp_path)
    command = ["mine", "zoo:zfnet_mini", tmp_path / "photos", "-o", tmp_path / "a.h5"]
    command += ["--layers", "relu1"]
    assert said(capfd, *command)[0] == 0
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["notes/mine"] = 1
    code, _, err = said(capfd, *command, "--restart")
    assert (code, "holds /notes, which somebody has added" in err) == (2, True)
    code, _, err = said(capfd, *command, "--restart", "--discard-groups")
    assert (code, additions(tmp_path / "a.h5")) == (0, [])
