"""RUN/views.png: the views of a run's first batch, as the network got them."""

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image

from killing import train
from massrl.cli.samples import sample_folder
from massrl.report.style import DPI
from massrl.training.first_views import IMAGES


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


class First(pl.Callback):
    """Keeps the views of the first batch, (V, B, 3, H, W)."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 1:
            self.views = np.stack([view.numpy() for view in batch.views])


def shown(picture, row, column, y, x):
    """The colour in 0..1 of a pixel, of 16 x 16, of an image in the picture: cells of an inch with gaps of 0.06."""
    inches = [(row * 1.06) + (y + 0.5) / 16 + 0.5, (column * 1.06) + (x + 0.5) / 16]  # 0.5: the titles
    return picture[tuple(int(DPI * inch) for inch in inches)] / 255


def test_the_picture_shows_the_first_batch_as_the_network_got_it_with_the_normalisation_undone(images, tmp_path):
    first, mean, std = First(), [0.2, 0.3, 0.4], [0.5, 0.25, 0.3]
    train(images, tmp_path / "run", first, mean=mean, std=std, max_epochs=1)
    with Image.open(tmp_path / "run" / "views.png") as file:
        picture = np.asarray(file.convert("RGB"))
    pixels = (first.views.transpose(0, 1, 3, 4, 2) * np.float32(std) + np.float32(mean)).clip(0, 1)
    assert picture.shape[:2] == (int(DPI * (IMAGES * 1.06 + 0.5)), int(DPI * 2 * 1.06))
    for view, image, y, x in np.ndindex(2, IMAGES, 16, 16):
        assert shown(picture, image, view, y, x) == pytest.approx(pixels[view, image, y, x], abs=1 / 254)


def test_a_run_that_goes_on_keeps_the_picture_of_its_start_and_the_report_shows_it(images, tmp_path):
    train(images, tmp_path / "run", max_epochs=1)
    before = (tmp_path / "run" / "views.png").read_bytes()
    train(images, tmp_path / "run", max_epochs=2, report=True)
    assert (tmp_path / "run" / "views.png").read_bytes() == before
    assert "the first batch of the training, as the network got it" in (tmp_path / "run" / "report.html").read_text()


def test_a_picture_that_cannot_be_made_is_one_line_and_ends_no_run(images, tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left\non device")

    monkeypatch.setattr("massrl.report.style.save_png", full)
    run = train(images, tmp_path / "run", max_epochs=1)
    said = [record.message for record in caplog.records if "no picture" in record.message]
    assert said == ["no picture of the first views: [Errno 28] No space left on device"]
    assert run.ended == 4 and not (run.path / "views.png").exists()
