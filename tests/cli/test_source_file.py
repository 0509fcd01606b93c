"""Every way a file can be wrong gets a sentence that names it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.source_file import MAX_BYTES, SourceFile, read_source
from engine.errors import BadRequestError


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("zero.py", b"a\0b", "zero bytes"),
        ("latin.py", b"x = '\xe9'\n", "not utf-8"),
        ("notes.txt", b"hello", "no language is known"),
        ("odd.py", b"# -*- coding: klingon -*-\n", "unknown encoding"),
        ("huge.py", b"#" * (MAX_BYTES + 1), "at most"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, data, message):
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(BadRequestError, match=message):
        read_source(str(file))


def test_missing_files_folders_and_unknown_languages_say_so(tmp_path):
    with pytest.raises(BadRequestError, match="does not exist"):
        read_source(str(tmp_path / "nowhere.py"))
    with pytest.raises(BadRequestError, match="is a folder"):
        read_source(str(tmp_path))
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(BadRequestError, match="klingon"):
        read_source(str(tmp_path / "a.py"), "klingon")


def test_a_file_that_the_system_refuses_to_open_says_so(tmp_path):
    file = tmp_path / "circle.py"
    file.symlink_to(file)
    with pytest.raises(BadRequestError, match="cannot read"):
        read_source(str(file))


@pytest.mark.parametrize(("line", "column"), [(0, 1), (1, 0), (9, 1), (1, 7), (-1, 1)])
def test_positions_outside_the_file_are_refused_and_named(tmp_path, line, column):
    file = tmp_path / "a.py"
    file.write_bytes(b"x = 1\r\ny\n")
    with pytest.raises(BadRequestError, match=r"line|column"):
        read_source(str(file)).offset(line, column)


def test_a_column_counts_characters_not_bytes(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("s = '😀é'\nz\n", encoding="utf-8")
    source = read_source(str(file))
    assert source.text[: source.offset(1, 7)] == "s = '😀"
    assert source.text[: source.offset(2, 2)] == "s = '😀é'\nz"


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200), bom=st.booleans())
def test_writing_the_same_text_back_changes_no_byte(tmp_path_factory, text, bom):
    file = tmp_path_factory.mktemp("files") / "a.ts"
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    file.write_bytes(data)
    source = read_source(str(file))
    source.write(source.text)
    assert file.read_bytes() == data


def test_a_declared_encoding_a_mode_and_a_link_survive_a_write(tmp_path):
    target = tmp_path / "real.py"
    target.write_bytes("# coding: latin-1\ns = 'é'\n".encode("latin-1"))
    target.chmod(0o640)
    link = tmp_path / "link.py"
    link.symlink_to(target)
    source = read_source(str(link))
    source.write(source.text.replace("'é'", "'éé'"))
    assert target.read_bytes() == "# coding: latin-1\ns = 'éé'\n".encode("latin-1")
    assert target.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()


def test_text_that_the_encoding_cannot_hold_leaves_the_file_alone(tmp_path):
    file = tmp_path / "a.py"
    file.write_bytes(b"# coding: ascii\nx = 1\n")
    source = read_source(str(file))
    with pytest.raises(BadRequestError, match="unchanged"):
        source.write("# coding: ascii\nx = 'é'\n")
    assert file.read_bytes() == b"# coding: ascii\nx = 1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["a.py"]


def test_a_folder_that_vanished_is_told_and_no_scrap_is_left(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    source = SourceFile(folder / "a.py", "x", "python", "utf-8", b"")
    with pytest.raises(BadRequestError, match="unchanged"):
        source.write("y")
    assert list(folder.iterdir()) == []
