"""Measured tables: numbers as they are shown, and their place in a README."""

import pytest

from scripts.report import number, paste, sentence, spread, table, versions

begin, end = "<!-- one -->", "<!-- /one -->"


def test_a_table_has_the_columns_in_order():
    columns = {"n": str, "square": lambda n: str(n * n)}
    assert table(columns, [2, 3]).splitlines() == [
        "| n | square |", "| --- | --- |", "| 2 | 4 |", "| 3 | 9 |"
    ]  # fmt: skip


def test_numbers_have_three_digits_and_their_spread():
    assert [number(n) for n in (1234.5, 80.26, 1.0462, 0.0571)] == ["1234", "80.3", "1.05", "0.06"]
    assert spread([9.0, 11.0, 10.0]) == "10.0 (9.00–11.0)"
    assert spread([0.614]) == "0.61"


def test_versions_tell_what_is_missing():
    found = versions("torch", "no-such-thing")
    assert list(found) == ["deconvnet", "torch", "no-such-thing", "Python"]
    assert sentence({**found, "torch": "9"}).split(", ")[1:3] == [
        "torch 9", "no-such-thing (not installed)"
    ]  # fmt: skip


def test_only_what_is_between_the_marks_is_replaced(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# é\n{begin}\nold\ntable\n{end}\nend\n", encoding="utf-8")
    for _ in range(2):
        paste(readme, "| new |", "one")
        assert readme.read_text(encoding="utf-8") == f"# é\n{begin}\n| new |\n{end}\nend\n"


@pytest.mark.parametrize("text", ["no marks", begin, f"{end} {begin}", f"{begin}{end}{begin}{end}"])
def test_without_a_place_nothing_is_written(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match="does not have the marks"):
        paste(readme, "| new |", "one")
    assert readme.read_text() == text
