"""A part survives its file to the bit, and a file that is not whole is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import deconvnet.mining.run.part_folder
from deconvnet.mining.run.part import FirstNaN, Part, apart
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.mining.run.request import Request
from deconvnet.mining.run.tables import Tables
from deconvnet.store.store import Failed

RANGES = {"lowest": 3, "sample": 5, "random_state": 7, "rank": "mean"}
REQUEST = Request(
    {"batch_shape": [4, 3, 5, 6], "k": 2, "model": "nät\udcff", **RANGES},
    18,
    {"a/b": 3, "c": 1},
    {"a/b": "z", "c": "c"},
)
PATHS = {0: "x/0.jpg", 4: "bad\udcff\n.jpg", 5: "", 17: "ä"}


def made(done=(0, 1, 4), *, request=REQUEST):
    """A part with something everywhere."""
    generator = torch.Generator().manual_seed(1)
    tables = Tables(request)
    for number in done:
        images = torch.arange(number * 4, min(number * 4 + 4, 18))
        images = images[images != 7]
        drawn = tables.admit(images)
        for name, channels in {**request.lows, **request.channels}.items():
            maps = torch.randn(len(images), channels, 3, 2, generator=generator)
            tables.update(name, maps, images, drawn)
    failed = (Failed(7, "7\udcff.jpg", 'it is "broken"'),) if 1 in done else ()
    nan = FirstNaN(1, "c", (4, 5))
    return Part(request, frozenset(done), failed, nan, "shard 0/1", "9 bytes", None, tables, PATHS)


def read(file):
    return Part.heading(file).whole()


def states(part):
    return {name: tensor.numpy().tobytes() for name, tensor in part.tables.state().items()}


def test_a_part_survives_its_file(tmp_path):
    part, file = made(), tmp_path / "part.safetensors"
    file.write_bytes(part.to_bytes())
    found = read(file)
    assert states(found) == states(part)
    for name in (
        "request",
        "done",
        "failed",
        "nan",
        "process",
        "replaces",
        "images",
        "seen",
    ):
        assert getattr(found, name) == getattr(part, name), name
    assert (found.seen, found.done) == (10, {0, 1, 4})
    head = Part.heading(file)
    assert (head.done, head.tables, head.images) == (part.done, None, {})


def test_a_part_of_nothing_but_a_broken_image(tmp_path):
    part = made(())
    file = tmp_path / "part.safetensors"
    part = Part(REQUEST, frozenset(), (), None, "", "", None, part.tables, {})
    file.write_bytes(part.to_bytes())
    assert read(file).images == {}


# --- files that are no part -------------------------------------------------------------------


def altered(data, change):
    """The file with another header, or another tensor."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    rest = change(header, bytearray(data[8 + length :]))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(rest)


def texts(**new):
    """A header whose texts say something else."""

    def change(header, rest):
        header["__metadata__"].update(new)
        return rest

    return change


def without(name):
    def change(header, rest):
        del header["__metadata__"][name]
        return rest

    return change


def bit_flipped(header, rest):
    start, stop = header["0/keys"]["data_offsets"]
    rest[start + 3] ^= 1
    return rest


def offsets_beyond(header, rest):
    header["0/keys"]["data_offsets"] = [0, len(rest) + 8]
    return rest


def other_shape(header, rest):
    header["0/keys"]["shape"] = header["0/keys"]["shape"][::-1]
    return rest


def not_a_table(header, rest):
    header["0/keys"] = 3
    return rest


WRONG = {
    "empty": lambda data: b"",
    "cut in its header": lambda data: data[:100],
    "cut in its tables": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "text": lambda data: b"<html>not found</html>",
    "zeros": lambda data: bytes(len(data)),
    "a header of terabytes": lambda data: b"\xff" * 8 + data[8:],
    "a pickle": lambda data: b"\x80\x04\x95" + data,
    "another format": lambda data: altered(data, texts(format="deconvnet part 9")),
    "no checksum": lambda data: altered(data, without("sha256")),
    "no request": lambda data: altered(data, without("request")),
    "another request": lambda data: altered(data, texts(process="somebody else")),
    "more is done": lambda data: altered(data, texts(done="[0, 1, 2, 3, 4]")),
    "done is a number": lambda data: altered(data, texts(done="3")),
    "done is a text": lambda data: altered(data, texts(done='"12"')),
    "done is an object": lambda data: altered(data, texts(done='{"0": 1}')),
    "ranges": lambda data: altered(data, texts(done="[[0, 2]]")),
    "microbatches that are no integers": lambda data: altered(data, texts(done="[0.0, true]")),
    "a microbatch twice": lambda data: altered(data, texts(done="[0, 1, 1]")),
    "a microbatch beyond the end": lambda data: altered(data, texts(done="[0, 5]")),
    "a microbatch below 0": lambda data: altered(data, texts(done="[-1, 0]")),
    "failed is a number": lambda data: altered(data, texts(failed="3")),
    "failed in pairs": lambda data: altered(data, texts(failed="[[1, 2]]")),
    "NaN is a number": lambda data: altered(data, texts(nan="3")),
    "no JSON": lambda data: altered(data, texts(done="[[")),
    "deep JSON": lambda data: altered(data, texts(done="[" * 100_000)),
    "a bit flipped": lambda data: altered(data, bit_flipped),
    "offsets beyond the end": lambda data: altered(data, offsets_beyond),
    "another shape": lambda data: altered(data, other_shape),
    "not a table": lambda data: altered(data, not_a_table),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_file_that_is_no_part_is_refused(tmp_path, wrong):
    data = made().to_bytes()
    file = tmp_path / "part-x.safetensors"
    file.write_bytes(wrong(data))
    with pytest.raises(ValueError, match=r"part-x.safetensors' holds no mined part .*; delete it"):
        read(file)
    file.write_bytes(data)
    assert states(read(file)) == states(made())


def test_tables_must_be_those_of_the_heading(tmp_path):
    """With a right checksum: written by a program that counts wrongly."""
    file = tmp_path / "part-x.safetensors"
    part = made()
    fewer = replace(REQUEST, channels={"a/b": REQUEST.channels["a/b"]}, lowest_of={})
    turned = replace(REQUEST, channels=dict(reversed(REQUEST.channels.items())))
    for wrong, message in (
        (replace(part, done=frozenset({0})), "counts 9 images at k=2, expected 3 at k=2"),
        (replace(part, failed=()), "counts 9 images"),
        (replace(part, tables=Tables(fewer)), "the table of c lacks keys"),
        (
            replace(part, request=replace(REQUEST, attributes={**REQUEST.attributes, "k": 10**9})),
            "the table of a/b lacks keys, or has another shape",
        ),
        (replace(part, tables=Tables(turned)), "has another shape"),
    ):
        file.write_bytes(wrong.to_bytes())
        with pytest.raises(ValueError, match=message):
            read(file)


def test_a_part_that_another_state_replaces_while_it_is_opened(tmp_path, monkeypatch):
    """Its size is that of what is open, not of what has its name now."""
    file, newer = tmp_path / "part-x.safetensors", tmp_path / "newer"
    file.write_bytes(made((0,)).to_bytes())
    newer.write_bytes(replace(made(), images={0: "x" * 1000}).to_bytes())
    real = Path.open

    def opened(self, *arguments):
        found = real(self, *arguments)
        if newer.exists():
            os.replace(newer, self)
        return found

    monkeypatch.setattr(Path, "open", opened)
    assert Part.heading(file).done == {0}
    assert Part.heading(file).done == {0, 1, 4}


# --- which parts go together ------------------------------------------------------------------


def named(*done):
    tops = {}
    return [
        Part(REQUEST, frozenset(d), (), None, str(i), "", None, tops, {})
        for i, d in enumerate(done)
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], set()),
        ([{0}, {1}, {2, 3}], {0, 1, 2}),
        ([{0, 1}, {0, 1}], {0}),
        ([{0, 1}, {0, 1, 2}], {1}),
        # the greatest first would leave 3 and 4 to be done again
        ([{1, 2, 3}, {0, 1, 2}, {3, 4}], {1, 2}),
        ([{1, 2}, {0, 1}, {2, 3}], {1, 2}),
        ([{0}, {0}, {0}, {1}, {1}], {0, 3}),
    ],
)
def test_no_microbatch_twice_and_most_of_them(parts, expected):
    found = apart(named(*parts))
    assert sum(len(part.done) for part in found) == sum(len(parts[i]) for i in expected)
    together = [n for part in found for n in part.done]
    assert len(together) == len(set(together))
    assert len(found) == len(expected)


def test_many_overlapping_parts_take_no_time():
    """More than a best choice is looked for among; still none twice."""
    found = apart(named(*({n % 5, (n + 1) % 5} for n in range(200))))
    assert sum(len(part.done) for part in found) == 4


# --- the folder -------------------------------------------------------------------------------


def test_names_do_not_meet(tmp_path):
    folder = PartFolder.beside(tmp_path / "top.h5")
    assert folder.path == tmp_path / "top.h5.parts"
    names = {folder.new_file("0-of-2") for _ in range(50)}
    assert len(names) == 50
    assert all(name.match("part-0-of-2-*.safetensors") for name in names)
    assert folder.headings() == []
    folder.clear()  # there is none


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), FileExistsError(17, "was there")])
def test_a_folder_may_vanish_under_a_writer(tmp_path, monkeypatch, error):
    """Whoever has assembled the store removes it, also while it is being made."""
    folder, part = PartFolder.beside(tmp_path / "top.h5"), made()
    file, left = folder.new_file("0-of-2"), [3]
    write = deconvnet.mining.run.part_folder.write_whole

    def vanishing(path, data):
        left[0] -= 1
        if left[0] >= 0:
            raise error
        write(path, data)

    monkeypatch.setattr(deconvnet.mining.run.part_folder, "write_whole", vanishing)
    folder.write(file, part)
    assert states(read(file)) == states(part)
    left[0] = 100
    with pytest.raises(type(error)):
        folder.write(file, part)


def test_clearing_leaves_what_is_not_ours(tmp_path):
    folder = PartFolder.beside(tmp_path / "top.h5")
    folder.write(folder.new_file("0-of-1"), made())
    (folder.path / ".deconvnet-1-2.tmp").write_bytes(b"half")
    (folder.path / "notes.txt").write_text("mine")
    folder.clear()
    assert [one.name for one in folder.path.iterdir()] == ["notes.txt"]
