"""A measured table takes its place in the README, and nothing else changes."""

import pytest

from scripts.readme_table import paste

MARKS = begin, end = "<!-- one -->", "<!-- /one -->"


def test_only_what_is_between_the_marks_is_replaced(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"# é\n{begin}\nold\ntable\n{end}\nend\n", encoding="utf-8")
    for _ in range(2):
        paste(readme, "| new |", MARKS)
        assert readme.read_text(encoding="utf-8") == f"# é\n{begin}\n| new |\n{end}\nend\n"


@pytest.mark.parametrize("text", ["no marks", begin, f"{end} {begin}", f"{begin}{end}{begin}{end}"])
def test_without_a_place_nothing_is_written(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match="without the marks"):
        paste(readme, "| new |", MARKS)
    assert readme.read_text() == text
