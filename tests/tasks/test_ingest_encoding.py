"""Unicode is read however it is written; any other encoding is one sentence with the command that mends it."""

import codecs
from pathlib import Path

import pytest

from tasks.errors import AnnealError
from tasks.files import read_jsonl
from tasks.stages.ingest import Ingest
from tasks.stages.ingest.__main__ import ingest


def rows(folder: Path, name: str, content: bytes) -> list[tuple[str, str]]:
    """The values of the rows of a file, without ids."""
    (folder / name).write_bytes(content)
    ingest(Ingest(source=str(folder / name), columns=["subject", "body"]), folder / "raw")
    return [(row["subject"], row["body"]) for row in read_jsonl(folder / "raw/rows.jsonl")]


def refused(folder: Path, name: str, content: bytes) -> str:
    """The sentence, without the folder."""
    with pytest.raises(AnnealError) as stopped:
        rows(folder, name, content)
    return str(stopped.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("s.csv", "subject;body\r\nGrüße;Größe 3 €\r\n"), ("s.jsonl", '{"subject": "Grüße", "body": "Größe 3 €"}\n')],
)
def test_unicode_is_read_however_it_is_written(tmp_path, encoding, name, text):
    assert rows(tmp_path, name, text.encode(encoding)) == [("Grüße", "Größe 3 €")]


def test_big_endian_with_a_mark_is_read(tmp_path):
    assert rows(tmp_path, "s.csv", codecs.BOM_UTF16_BE + "subject,body\na,b\n".encode("utf-16-be")) == [("a", "b")]


def test_another_encoding_is_named_with_the_command_that_mends_it(tmp_path):
    text = "subject,body\n" + "Grüße aus Köln,Die Lampe läuft schön und müßte größer sein\n" * 20
    words = refused(tmp_path, "my s.csv", text.encode("cp1252"))
    assert (
        words.startswith("my s.csv, line 2: not UTF-8 (byte 0xfc); it seems to be ")
        and "-t utf-8 'my s.csv' > 'new.my s.csv'`" in words
    )


@pytest.mark.parametrize(
    ("content", "words"), [(b"PK\x03\x04rest", "an Excel workbook"), (b"PAR1rest", "a Parquet file")]
)
def test_a_file_that_is_no_text_is_named_for_what_it_is(tmp_path, content, words):
    assert words in refused(tmp_path, "s.csv", content)


def test_text_that_breaks_off_in_the_middle_of_a_character_is_refused(tmp_path):
    assert refused(tmp_path, "s.csv", "subject,body\na,b\n".encode("utf-16")[:-1]).startswith(
        "s.csv, line 2: begins as UTF-16 and is truncated"
    )
