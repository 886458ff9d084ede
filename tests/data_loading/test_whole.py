"""Files are there whole or not at all."""

import pytest

from data_loading.config.atomic import whole, write_whole
from data_loading.errors import UserError


def test_a_file_takes_its_place_when_all_of_it_is_written(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with whole(path) as file:
        file.write(b"ab")
        assert not path.exists()
    assert path.read_bytes() == b"ab"
    write_whole(path, "é\r\n")
    assert path.read_bytes() == "é\r\n".encode() and list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_whole(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), whole(path) as file:
        file.write(b"half")
        1 / 0  # noqa: B018
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named_in_a_sentence(tmp_path):
    write_whole(tmp_path / "file", "")
    with pytest.raises(UserError, match=r"file/a\.txt cannot be written: (Not a directory|File exists)"):
        write_whole(tmp_path / "file" / "a.txt", "")
    with pytest.raises(UserError, match=r"folder cannot be written: Is a directory"):
        (tmp_path / "folder").mkdir()
        write_whole(tmp_path / "folder", "")
    assert len(list(tmp_path.iterdir())) == 2
