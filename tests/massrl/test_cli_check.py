"""What `--check` puts in the place of data and checkpoints that are not there."""

from PIL import Image

import massrl
from massrl.cli.samples import sample_checkpoint, sample_folder


def test_the_drawn_folder_has_16_readable_images_in_two_classes_and_is_the_same_each_time(tmp_path):
    first, second = (sample_folder(tmp_path / name) for name in ("a", "b"))
    images = sorted(first.glob("*/*.jpg"))
    assert len(images) == 16 and {path.parent.name for path in images} == {"discs", "bars"}
    for path in images:
        with Image.open(path) as image:
            image.load()
            assert (image.size, image.mode) == ((48, 40), "RGB")
    assert [path.read_bytes() for path in images] == [path.read_bytes() for path in sorted(second.glob("*/*.jpg"))]


def test_the_drawn_checkpoint_is_a_trained_method_and_is_made_without_a_word(tmp_path, capsys):
    checkpoint = sample_checkpoint(tmp_path, sample_folder(tmp_path))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert type(massrl.load(checkpoint)).__name__ == "SimCLR"
