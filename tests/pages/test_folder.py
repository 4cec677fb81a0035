"""The folder of an atlas: whole or not at all, resumed, and nothing of the user's lost."""

import pytest

from deconvnet.pages.folder import MARK, Building, check_target


def filled(target, made_from=None, files=("index.html", "data/index.js")):
    building = Building.begin(target, made_from or {"a": 1})
    for name in files:
        building.write(name, name.encode())
    return building


def contents(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_nothing_is_at_the_target_before_all_is(tmp_path):
    building = filled(tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()
    size = building.finish(["index.html", "data/index.js"])
    assert contents(tmp_path / "atlas") == [MARK, "data/index.js", "index.html"]
    assert size == sum(p.stat().st_size for p in (tmp_path / "atlas").rglob("*") if p.is_file())
    assert [path.name for path in tmp_path.iterdir()] == ["atlas"]


def test_a_file_that_is_lost_stops_it(tmp_path):
    old = filled(tmp_path / "atlas")
    old.finish(["index.html"])
    building = filled(tmp_path / "atlas", {"a": 2})
    (building.folder / "index.html").unlink()
    with pytest.raises(RuntimeError, match="lacks 1 file, such as 'index.html'"):
        building.finish(["index.html", "data/index.js"])
    assert contents(tmp_path / "atlas") == [MARK, "data/index.js", "index.html"]


def test_the_same_sources_go_on_and_others_start_again(tmp_path):
    filled(tmp_path / "atlas")
    again = Building.begin(tmp_path / "atlas", {"a": 1})
    assert again.has("index.html")
    other = Building.begin(tmp_path / "atlas", {"a": 2})
    assert not other.has("index.html")


def test_a_part_of_a_file_is_none(tmp_path):
    building = filled(tmp_path / "atlas")
    (building.folder / "sprites/0").mkdir(parents=True)
    (building.folder / "sprites/0/00001-strongest-0.webp.part").write_bytes(b"ha")
    assert not building.has("sprites/0/00001-strongest-0.webp")
    building.finish(["index.html"])
    assert not list((tmp_path / "atlas").rglob("*.part"))


def test_an_old_atlas_is_replaced_and_one_that_was_moved_away_comes_back(tmp_path):
    filled(tmp_path / "atlas").finish(["index.html"])
    new = filled(tmp_path / "atlas", {"a": 2}, files=["index.html"])
    new.finish(["index.html"])
    assert contents(tmp_path / "atlas") == [MARK, "index.html"]
    (tmp_path / "atlas").rename(tmp_path / ".atlas.old")  # killed between the two renames
    Building.begin(tmp_path / "atlas", {"a": 3})
    assert contents(tmp_path / "atlas") == [MARK, "index.html"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("notes.txt", "holds 'notes.txt', which is not a part of an atlas"),
        ("sprites/0/mine.png", "holds 'sprites/0/mine.png'"),
        ("data/atlas-notes.json", "holds 'data/atlas-notes.json'"),
    ],
)
def test_nothing_of_the_users_is_lost(tmp_path, name, told):
    filled(tmp_path / "atlas").finish(["index.html"])
    own = tmp_path / "atlas" / name
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("mine")
    with pytest.raises(FileExistsError, match=told):
        Building.begin(tmp_path / "atlas", {"a": 2})
    assert own.read_text() == "mine"


def test_what_is_put_there_meanwhile_is_kept_too(tmp_path):
    building = filled(tmp_path / "atlas")
    (tmp_path / "atlas").mkdir()
    (tmp_path / "atlas" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        building.finish(["index.html"])
    assert contents(tmp_path / "atlas") == ["thesis.tex"]


def test_a_folder_of_pages_that_is_no_atlas_is_refused(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty and no atlas"):
        check_target(tmp_path / "site")
    with pytest.raises(FileExistsError, match="is a file; give a folder"):
        check_target(tmp_path / "site" / "index.html")
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty")
    check_target(tmp_path / "new")
