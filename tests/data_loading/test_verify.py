"""`massrl data verify` and `check`: every fault of a file is listed, and nothing else."""

import json

import numpy as np
import pytest

from data_loading import DatasetWriter, Reader
from data_loading.beton.check import SHOWN, check
from data_loading.fields import IntField, JSONField, NDArrayField, RGBImageField
from massrl.cli.data import main
from massrl.cli.data.verify import main as verify

FIELDS = {"image": RGBImageField("jpg"), "facts": JSONField(), "words": NDArrayField("<U2", (1,)), "n": IntField()}


@pytest.fixture
def file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (150, 9, 11, 3)).astype(np.uint8)
    samples = [(image, {"row": i}, np.array(["ü"], "<U2"), i) for i, image in enumerate(images)]
    return DatasetWriter(tmp_path / "a.beton", FIELDS).from_indexed_dataset(samples, progress=False)


def damage(file, name, rows):
    """Overwrite stored values with invalid bytes."""
    reader = Reader(file)
    ptr, size = (reader.image_table().ptr, reader.image_table().size) if name == "image" else reader._spans[name]
    with open(file, "r+b") as out:
        for row in rows:
            out.seek(int(ptr[row]))
            out.write(b"\xfe" * int(size[row]))


def test_an_intact_file_has_no_faults(file, capsys):
    report = check(file, num_workers=2, progress=False)
    assert report.whole and (report.samples, report.values) == (150, 450)
    assert verify([str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: no faults; 150 samples, 450 values decoded\n"


@pytest.mark.parametrize("workers", [1, 3])
def test_every_value_that_does_not_decode_is_listed_in_order(file, workers):
    damage(file, "facts", [140])
    damage(file, "image", [3, 70])
    damage(file, "words", [70])
    report = check(file, workers, progress=False)
    assert report.count == len(report.faults) == 4
    for words, fault in zip(["3: field 'image'", "70: field 'image'", "70: field 'words'", "140: field 'facts'"],
                            report.faults, strict=True):  # fmt: skip
        assert fault.startswith(f"{file}: sample {words}: ")


def test_all_faults_are_counted_and_the_first_are_shown(file, capsys):
    damage(file, "image", range(0, 150, 2))
    assert verify([str(file), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["whole"], found["count"], len(found["faults"]), found["samples"]) == (False, 75, SHOWN, 150)
    assert verify([str(file)]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == f"{file}: 75 faults, the first 20 above; 150 samples"


def test_a_file_that_does_not_open_is_one_fault(file, tmp_path, capsys):
    (tmp_path / "cut.beton").write_bytes(file.read_bytes()[:-1])
    assert main(["verify", str(tmp_path / "cut.beton")]) == 2
    assert "was cut short" in capsys.readouterr().out
    assert check(tmp_path / "not.beton").faults == [f"{tmp_path / 'not.beton'}: there is no such file"]


def test_verify_check_leaves_no_files(tmp_path, capsys):
    assert verify(["--check"]) == 0
    assert "16 samples, 16 values decoded" in capsys.readouterr().out and not list(tmp_path.iterdir())
