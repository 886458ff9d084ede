"""The pages in a browser: headless Chromium, where it is installed, shows every section of them, wide and narrow."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

import massrl
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.report import build
from massrl.report.comparison import build as build_comparison

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update"),
    *("--disable-background-networking", "--disable-sync", "--hide-scrollbars"),
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Paths of the page of a run, and of the page of a comparison of two."""
    tmp = tmp_path_factory.mktemp("pages")
    images = sample_folder(tmp)
    runs = []
    for seed, name in enumerate("ab"):
        (tmp / name).mkdir()
        runs.append(sample_checkpoint(tmp / name, images, seed).parent.parent)
    found = massrl.compare(runs, images, images, draws=2, k=3, cache_dir=tmp / "cache")
    return {"run": build(runs[0]), "comparison": build_comparison(found, tmp / "comparison.html")}


def browse(tmp_path, page, *words):
    """What Chromium prints for a page, in a profile of its own."""
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *words, page.as_uri()]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=True).stdout


@pytest.mark.parametrize(
    ("name", "headings"),
    [
        ("run", ["Training", "The views it trained on", "Settings and environment"]),
        ("comparison", ["Accuracy of the features", "Paired differences", "Per class", "Protocols and settings"]),
    ],
)
def test_the_browser_parses_every_section(pages, tmp_path, name, headings):
    page = browse(tmp_path, pages[name], "--dump-dom")
    for heading in headings:
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<section") == page.count("</section>")


@pytest.mark.parametrize("width", [1100, 500])
@pytest.mark.parametrize("name", ["run", "comparison"])
def test_the_page_fits_the_window(pages, tmp_path, name, width):
    shot = tmp_path / "shot.png"
    browse(tmp_path, pages[name], f"--screenshot={shot}", f"--window-size={width},2400")
    pixels = np.asarray(Image.open(shot).convert("L"), dtype=float)
    assert pixels.shape == (2400, width)
    assert pixels.std() > 5  # not an empty page
    # Nothing reaches the edges: the ground is one colour down both sides.
    assert np.ptp(pixels[200:, :4]) < 3 and np.ptp(pixels[200:, -4:]) < 3
