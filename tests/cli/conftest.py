"""What most commands are tried on."""

import pytest

from tests.support.commands import make_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photographs and models in a folder, which the tests of a file share."""
    return make_files(tmp_path_factory.mktemp("cli"))
