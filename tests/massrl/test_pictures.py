"""Pictures: what they show is what the loader draws, every registered op and strategy is in them, no letter is cut."""

import io
import json
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from data_loading import DatasetWriter, Loader, Strategy, ViewSet
from data_loading.errors import ConfigError, DecodeError, SourceError, UnknownName, ViewError
from data_loading.fields import RGBImageField
from data_loading.loading.replay import replay_image
from data_loading.ops import CenterCrop, Solarize
from data_loading.strategies import STRATEGIES
from massrl.cli.main import main
from massrl.report import pictures
from massrl.report.pictures import __main__ as committed
from massrl.report.pictures.contents import contents, read_contents
from massrl.report.pictures.draw import run_each
from massrl.report.pictures.grid import Cell, Row, grid, run_in, width
from massrl.report.pictures.of_views import colour_of
from massrl.report.pictures.ranges import always, range_of, view_ops
from massrl.report.style import save_png

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photographs():
    return pictures.photographs()


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def shown(figure):
    """The images of a figure, in the order in which they were put there."""
    return [image.get_array() for image in figure.axes[0].images]


def test_the_photographs_are_scikit_learns_or_ones_own(tmp_path, photographs):
    assert [image.shape for image in photographs] == [(427, 640, 3)] * 2
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3)).astype(np.uint8)
    for name in ("b.png", "a.png"):
        Image.fromarray(pixels if name == "a.png" else pixels[::-1]).save(tmp_path / name)
    a, b = pictures.photographs(tmp_path)
    np.testing.assert_array_equal(a, pixels)
    np.testing.assert_array_equal(b, pixels[::-1])
    assert len(pictures.photographs(tmp_path, limit=1)) == 1
    np.testing.assert_array_equal(pictures.photographs([tmp_path / "b.png"])[0], b)
    np.testing.assert_array_equal(pictures.photographs(str(tmp_path / "b.png"))[0], b)
    (tmp_path / "no.jpg").write_text("no image")
    with pytest.raises(SourceError, match="list of photographs is empty"):
        pictures.photographs([])
    for wrong, error in ((["gone.png"], SourceError), ([tmp_path / "no.jpg"], DecodeError), ("nowhere", SourceError)):
        with pytest.raises(error, match=Path(wrong if isinstance(wrong, str) else wrong[0]).name):
            pictures.photographs(wrong)


def test_views_of_an_image_without_a_file_are_those_that_a_loader_draws(tmp_path, photographs):
    file = tmp_path / "two.beton"
    DatasetWriter(file, {"image": RGBImageField("raw")}).from_indexed_dataset(
        [(i,) for i in photographs], progress=False
    )
    view_set = ViewSet(["simclr", "byol"], crops=1, size=24, local=1, local_size=16)
    loader = Loader(file, 2, view_set, seed=3, order="sequential", dtype="uint8", num_workers=1, with_plan=True)
    loader.set_epoch(2)
    batch = next(iter(loader))
    for index, image in enumerate(photographs):
        boxes, views = pictures.draw_views(image, view_set, seed=3, epoch=2, index=index)
        np.testing.assert_array_equal(boxes, batch.plan.box[:, index])
        for mine, drawn in zip(views, batch.views, strict=True):
            np.testing.assert_array_equal(mine, drawn[index].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("name", view_ops())
def test_an_op_changes_the_image_over_its_range(name, photographs):
    image, known = photographs[0], range_of(name)
    before = run_each(image, [always("CenterCrop", ratio=1.0)], 48)[0]
    if known:
        views = run_each(image, [always(name, **known.arguments(v)) for v in known.values(5)], 48)
        distinct = len({view.tobytes() for view in views})
        assert distinct >= 3, f"{name} looks the same at most of {known}; give it a range in ranges.py"
    else:
        changed = (run_each(image, [always(name)], 48)[0] != before).any()
        assert changed == (name != "Round")  # whole levels stay as they are


def test_one_op_is_shown_at_its_values_and_as_a_loader_draws_it(photographs):
    figure = pictures.op(photographs[0], "Solarize", n=3, size=40, seed=5)
    image, at256, at128, at0, again, *samples = shown(figure)
    np.testing.assert_array_equal(image, at256)
    # ops work on the resized image before it is rounded: a level more or less, and 127.6 is below 128
    level = image.astype(int)
    np.testing.assert_allclose(at0.astype(int), 255 - level, atol=1)
    clear = abs(level - 128) > 1
    np.testing.assert_allclose(at128[clear].astype(int), np.where(level >= 128, 255 - level, level)[clear], atol=1)
    np.testing.assert_array_equal(again, image)
    assert [word for word in words(figure) if word.isdigit()] == ["256", "128", "0"]
    alone = ViewSet([Strategy("op", [[Solarize()]], crop=CenterCrop(1.0))], crops=1, size=40)
    for index, sample in enumerate(samples):
        np.testing.assert_array_equal(sample, replay_image(photographs[0], alone, 5, index=index).views[0])


def test_an_op_of_ones_own_is_shown_by_its_class_path(photographs, tmp_path, monkeypatch):
    (tmp_path / "fade_op.py").write_text(
        'from data_loading.ops import OwnOp\n\n\nclass Fade(OwnOp):\n    """Fade to black."""\n\n'
        "    numbers = ('by',)\n\n"
        "    def __init__(self, by: float = 0.5, p: float = 1.0, **common):\n        super().__init__(p, **common)\n"
        "        self.by = by\n\n    def params(self):\n        return [self.by]\n\n"
        "    @staticmethod\n    def draw(params, state, arg, word):\n        arg[0] = params[0]\n\n"
        "    @staticmethod\n    def kernel(image, scratch, arg, word):\n        for c in range(3):\n"
        "            for y in range(image.shape[1]):\n"
        "                for x in range(image.shape[2]):\n                    image[c, y, x] *= 1 - arg[0]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    figure = pictures.op(photographs[0], "fade_op.Fade", n=2, size=24)
    image, tenth, half, *_ = shown(figure)
    # both sides are rounded to whole levels, half a level each
    np.testing.assert_allclose(tenth, image * 0.9, atol=1)
    np.testing.assert_allclose(half, image * 0.5, atol=1)
    assert {"Fade()", "Fade to black.", "by", "0.1", "0.5"} <= set(words(figure))


def test_a_wrong_op_or_argument_is_answered_with_the_nearest(photographs):
    with pytest.raises(UnknownName, match="Did you mean 'Rotate'"):
        pictures.op(photographs[0], "Rotat")
    with pytest.raises(ViewError, match="Did you mean 'degrees'"):
        pictures.op(photographs[0], "Rotate", degres=3)
    with pytest.raises(ViewError, match="Normalize"):
        pictures.op(photographs[0], "Normalize")


def test_every_registered_op_and_strategy_is_in_the_pictures(photographs):
    figure = pictures.ops(photographs[0], n=3, size=24)
    ranged = [name for name in view_ops() if range_of(name)]
    assert set(view_ops()) <= set(words(figure)) and len(ranged) > 15
    assert len(shown(figure)) == 3 * len(ranged) + len(view_ops()) - len(ranged)
    names = {word.split()[0] for word in words(pictures.strategies(photographs[1], samples=2, size=24))}
    assert set(STRATEGIES) <= names


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda images: pictures.ops(images[0], n=0), "n is 0"),
        (lambda images: pictures.op(images[0], "Hue", n=0), "n is 0"),
        (lambda images: pictures.slider(images[0], "Hue", n=0), "n is 0"),
        (lambda images: pictures.strategies(images[0], samples=0), "samples is 0"),
        (lambda images: pictures.strategies(images[0], names=[]), "names is 0"),
        (lambda images: pictures.strategy(images[0], "byol", samples=-1), "samples is -1"),
        (lambda images: pictures.shared_draws(images[0], samples=0), "samples is 0"),
        (lambda images: pictures.seeding([]), "images is 0"),
        (lambda images: pictures.seeding(images, runs=0), "runs is 0"),
        (lambda images: pictures.gif(images[0], "b.gif", epochs=0), "epochs is 0"),
        (lambda images: pictures.photographs(limit=0), "limit is 0"),
    ],
)
def test_a_picture_of_nothing_is_refused(draw, words, photographs):
    with pytest.raises(ConfigError, match=f"^{words}; a picture shows at least one$"):
        draw(photographs)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((8, 9, 4), np.uint8), r"uint8 \(8, 9, 4\)"),
        (np.zeros((8, 9), np.uint8), r"uint8 \(8, 9\)"),
        (np.zeros((8, 9, 3)), r"float64 \(8, 9, 3\)"),
        (np.zeros((0, 9, 3), np.uint8), r"uint8 \(0, 9, 3\)"),
        (Image.new("RGB", (8, 9)), "a Image"),
    ],
)
@pytest.mark.parametrize("draw", [pictures.view_set, pictures.draw_views, replay_image, pictures.replay])
def test_an_array_that_is_no_rgb_image_is_refused(draw, wrong, found):
    with pytest.raises(ConfigError, match=rf"^image is {found}; give it as a NumPy array uint8 \(height, width, 3\)"):
        draw(wrong, "simclr")


def test_pad_is_shown_on_a_photograph_that_fits_into_the_view(photographs):
    (view,) = run_each(photographs[0], [always("Pad")], 48)
    small = np.asarray(Image.fromarray(photographs[0]).resize((32, 21), Image.Resampling.BICUBIC))
    assert not view[21:].any() and not view[:, 32:].any()
    assert abs(view[:21, :32].astype(int) - small).mean() < 3  # thumbnails are reduced in two steps


def test_a_description_is_written_out_in_lines_that_fit():
    note = "one and two and three, each of which is said in full and in order, whatever the room"
    for room in (1.2, 2.0, 20.0):
        first, *others = run_in("a name", 9.5, note, room)
        assert " ".join(filter(None, [first, *others])) == note and (len(others) == 0) == (room == 20)
        assert width("a name", 9.5, "bold") + width(first, 8) < room and all(width(line, 8) <= room for line in others)


def test_every_strategy_is_described_in_full(photographs):
    text = " ".join(words(pictures.strategies(photographs[1])))
    assert [name for name in STRATEGIES if STRATEGIES.summary(name) not in text] == []


def test_a_strategy_has_a_row_for_each_variant_and_a_column_for_each_sample(photographs):
    figure = pictures.strategy(photographs[1], "byol", samples=3, size=32)
    assert [word for word in words(figure) if word.startswith("byol")] == ["byol a", "byol b"]
    drawn = [replay_image(photographs[1], ViewSet(["byol"], size=32), 0, index=index).views for index in range(3)]
    expected = [drawn[index][variant] for variant in range(2) for index in range(3)]
    for mine, view in zip(shown(figure), expected, strict=True):
        np.testing.assert_array_equal(mine, view)
    local = Strategy("mine", [[]], local=["Invert"], size=16)
    assert "mine local (32 px)" in words(pictures.strategy(photographs[1], local, samples=2))


def test_boxes_are_drawn_where_the_plan_has_them(photographs):
    image = photographs[1]
    view_set = ViewSet(["simclr", "byol"], crops=2, size=32, shared_crops=True, local=1, local_size=16)
    drawn = replay_image(image, view_set, seed=2, epoch=1)
    figure = pictures.view_set(image, view_set, seed=2, epoch=1)
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    pixel = (right - left) / image.shape[1]
    assert (bottom - top) / image.shape[0] == pytest.approx(pixel)
    patches = figure.axes[0].patches
    edges = [(p.get_x(), p.get_y(), p.get_x() + p.get_width(), p.get_y() + p.get_height()) for p in patches]
    found = (np.array(edges[: len(view_set)]) - [left, top, left, top]) / pixel
    np.testing.assert_allclose(found, drawn.plan.box[:, 0], atol=1e-3)
    assert len(np.unique(drawn.plan.box[:, 0], axis=0)) == 3  # strategies share their crops
    assert len({colour_of(view) for view in view_set.views}) == len({p.get_edgecolor() for p in patches}) == 3
    views = {view.name: pixels for view, pixels in zip(view_set.views, drawn.views, strict=True)}
    labels = [word for word in words(figure) if word in views]
    assert sorted(labels) == sorted(views)
    for label, pixels in zip(labels, shown(figure)[1:], strict=True):
        np.testing.assert_array_equal(pixels, views[label])


def test_a_view_whose_strategy_is_drawn_is_named_after_it(photographs):
    figure = pictures.view_set(photographs[0], ViewSet(["simclr", "byol"], crops=2, size=16, assign="drawn"), seed=1)
    names = [word for word in words(figure) if word.endswith((".0", ".1"))]
    assert len(names) == 2 and {name.partition(".")[0] for name in names} <= {"simclr", "byol"}


def test_the_same_key_draws_the_same_picture_and_any_other_another(photographs):
    figure = pictures.replay(photographs[1], "simclr+byol", size=24)
    notes = [word for word in words(figure) if word.endswith("views equal")]
    assert notes == ["4 of 4 views equal", *["0 of 4 views equal"] * 3]
    rows = np.array_split(np.stack(shown(figure)), 5)
    np.testing.assert_array_equal(rows[0], rows[1])
    assert all((rows[0] != row).any() for row in rows[2:])


@pytest.mark.parametrize("order_seed", [None, 0])
@pytest.mark.parametrize("op_seed", [None, 0])
def test_seeds_of_order_and_ops_are_apart(photographs, order_seed, op_seed):
    figure = pictures.seeding(photographs, order_seed, op_seed, size=24)
    names = [word for word in words(figure) if word.startswith("image ")]
    runs = list(zip(np.array_split(names, 3), np.array_split(np.stack(shown(figure)), 3), strict=True))
    assert all(len(set(found)) == 9 for found, _ in runs)  # an epoch has each image once
    for (names_a, pixels_a), (names_b, pixels_b) in zip(runs, runs[1:], strict=False):
        assert (names_a.tolist() == names_b.tolist()) == (order_seed == 0)
        both = [(pixels_a[list(names_a).index(n)], pixels_b[list(names_b).index(n)]) for n in names_a if n in names_b]
        assert len(both) >= 6  # 9 of 12 images twice
        same = [np.array_equal(a, b) for a, b in both]
        assert all(same) if op_seed == 0 else not any(same)


def test_ops_that_share_a_name_decide_alike_in_views_of_any_size(photographs):
    figure = pictures.shared_draws(photographs[1], samples=8, seed=1, size=32)
    gray = [bool((view[..., 0] == view[..., 1]).all()) for view in shown(figure)]
    first, second, third = gray[:8], gray[8:16], gray[16:]
    assert first == second and first != third and 0 < sum(first) < 8
    assert len(figure.axes[0].patches) == sum(gray)  # frames: what the plan says is gray
    assert {view.shape for view in shown(figure)} == {(32, 32, 3), (16, 16, 3)}


def test_a_gif_has_a_frame_for_each_epoch_in_its_own_colours(tmp_path, photographs):
    path = pictures.gif(photographs[1], tmp_path / "a.gif", "simclr", epochs=3, seconds=0.5, dpi=40, size=32)
    with Image.open(path) as found:
        frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(found)]
        assert len(frames) == 3 and found.info["duration"] == 500 and found.info["loop"] == 0
    assert all((a != b).any() for a, b in zip(frames, frames[1:], strict=False))
    figure = pictures.view_set(photographs[1], "simclr", size=32, epoch=2)
    png = io.BytesIO()
    figure.savefig(png, dpi=40)
    exact = np.asarray(Image.open(png).convert("RGB")).astype(int)
    assert abs(frames[2] - exact).mean() < 6  # 256 colours, dithered


def test_the_slider_shows_the_op_at_its_value_and_a_row_without_widgets(photographs, monkeypatch):
    box = pictures.slider(photographs[0], "Solarize", size=32, n=3)
    _, bar, picture = box.children
    bar.value = 2  # threshold 0: everything is inverted
    view = np.asarray(Image.open(io.BytesIO(bytes(picture.value)))).astype(int)
    inverted = run_each(photographs[0], [always("Solarize", threshold=0.0)], 32)[0]
    assert abs(view - inverted).mean() < 6  # JPEG
    bits = pictures.slider(photographs[0], "Posterize", size=32).children[1]
    assert [label for label, _ in bits.options] == list("12345678")  # whole numbers, each once
    assert isinstance(pictures.slider(photographs[0], "Invert", size=32), Figure)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert isinstance(pictures.slider(photographs[0], "Solarize", size=32), Figure)


def drawn(photographs):
    image, other = photographs
    wide, tall = np.ascontiguousarray(image[:60]), np.ascontiguousarray(image[:, :80])
    return {
        **committed.figures(),
        "one op": partial(pictures.op, image, "RandomResizedCrop", scale=(0.2, 0.4), ratio=(1.0, 1.0)),
        "no parameter": partial(pictures.op, image, "Equalize"),
        "a strategy": partial(pictures.strategy, other, "digits_affine", samples=2),
        "multicrop": partial(pictures.view_set, other, "multicrop"),
        "one view": partial(pictures.view_set, tall, "rrc", size=32),
        "wide": partial(pictures.view_set, wide, "massrl", size=32),
        "a grid": partial(
            grid,
            [Row("a" * 40, [Cell(wide, "caption")], "b" * 60)],
            ["a title that is long"],
            "heading " * 9,
            "note " * 40,
        ),
    }


@pytest.fixture(scope="module")
def figure_of(photographs):
    """Each figure by its name, drawn once."""
    return cache(lambda name: drawn(photographs)[name]())


@pytest.mark.parametrize("name", [*committed.figures(), committed.GIF])
def test_a_committed_picture_shows_what_is_drawn_today(name, photographs, figure_of):
    figure = pictures.view_set(photographs[1], "massrl") if name == committed.GIF else figure_of(name)
    stored, today = read_contents(ROOT / "images" / name), json.loads(contents(figure))
    assert stored.get("words") == today["words"], f"images/{name} is of another day; run bash_files/figures.sh"
    # other versions of JPEG decoders and other processors: a level or so; other draws differ by tens
    np.testing.assert_allclose(stored["colours"], today["colours"], atol=1.5)


def test_a_picture_of_an_older_registry_is_noticed(photographs, tmp_path, monkeypatch):
    def written(name):
        figure = pictures.strategies(photographs[1], 1, ["simclr", "mae"], size=24)
        return read_contents(save_png(figure, tmp_path / name, comment=contents(figure)))

    before = written("a.png")
    assert written("b.png") == before and "SimCLR for ImageNet:" in " ".join(before["words"])
    monkeypatch.setitem(STRATEGIES._items, "simclr", STRATEGIES["byol"])
    after = written("c.png")
    assert after["words"] != before["words"]
    assert np.abs(np.array(after["colours"][0]) - before["colours"][0]).max() > 10
    assert read_contents(ROOT / "images" / "speed.png") == {}


@pytest.mark.parametrize("name", drawn([np.zeros((427, 640, 3), np.uint8)] * 2))
def test_no_letter_and_no_image_of_a_picture_is_cut(name, figure_of):
    figure = figure_of(name)
    renderer = figure.canvas.get_renderer()
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts if t.get_text().strip()]
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} is cut: {box} in {width} x {height}"
    for at, (text, box) in enumerate(boxes):
        for other, place in boxes[:at]:
            across = min(box.x1, place.x1) - max(box.x0, place.x0)
            down = min(box.y1, place.y1) - max(box.y0, place.y0)
            # a line's box has room for accents and tails, which the next line may use
            assert across <= 0 or down <= 3, f"{text!r} lies on {other!r}"
    for image in figure.axes[0].images:
        box = image.get_window_extent(renderer)
        # half a pixel: the edge of an image may lie between two
        assert box.x0 > -0.5 and box.y0 > -0.5 and box.x1 < width + 0.5 and box.y1 < height + 0.5


def test_each_picture_of_the_readme_is_drawn_by_a_command_and_is_small():
    written = {path.name for path in (ROOT / "images").iterdir()}
    assert written == {*committed.figures(), committed.GIF, "speed.png"}  # speed.png: massrl data bench
    sizes = {path.name: path.stat().st_size for path in (ROOT / "images").iterdir()}
    assert [name for name, size in sizes.items() if size >= 500_000] == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--boxes", "--views", "multicrop"], "boxes.png"),
        (["--replay", "--index", "1"], "replay.png"),
        (["--op", "Rotate"], "Rotate.png"),
        (["--gif", "--n", "2"], "views.gif"),
        (["--strategies", "--size", "24"], "strategies.png"),
        (["--ops", "--size", "24"], "ops.png"),
    ],
)
def test_the_command_draws_the_same_figures(options, name, capsys):
    assert main(["data", "show", *options]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: ")
    with Image.open(name) as found:
        assert min(found.size) > 100 and getattr(found, "n_frames", 1) == (2 if name.endswith("gif") else 1)


def test_the_command_draws_an_image_of_a_file(tmp_path, photographs):
    for index, image in enumerate(photographs):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    draw = ["data", "show", "--boxes", "--index", "1", "--seed", "3"]
    assert main([*draw, "--out", "a.png"]) == main([*draw, str(tmp_path / "images"), "--out", "b.png"]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--op", "Rotat"], "Did you mean 'Rotate'?"),
        (["--ops", "--gif"], "--ops and --gif are different figures"),
        (["--ops", "--index", "2"], "photographs 0 to 1"),
        (["--gif", "--n", "0"], "epochs is 0"),
        (["--boxes", "--views", "simclt"], "Did you mean 'simclr'?"),
        (["--ops", "--n", "9"], "n has no effect with --ops; see massrl data show --help"),
        (["--ops", "--epoch=3"], "epoch has no effect with --ops"),
        (["--ops", "--views", "simclr"], "views has no effect with --ops"),
        (["--op", "Hue", "--views", "massrl"], "views has no effect with --op"),
        (["--strategies", "--epoch", "1"], "epoch has no effect with --strategies"),
        (["--replay", "--epoch", "1"], "epoch has no effect with --replay"),
        (["--boxes", "--n", "2"], "n has no effect with --boxes"),
        (["--gif", "--epoch", "2"], "epoch has no effect with --gif"),
        (["digits", "--index", "1"], "index has no effect without a figure of one image"),
        (["--ops", "--out", "a.jpg"], "out is a.jpg; the output is a PNG, give it a name ending in .png"),
        (["--gif", "--out", "a.png"], "out is a.png; the output is a GIF, give it a name ending in .gif"),
        (["digits", "--out", "a"], "the output is a PNG"),
    ],
)
def test_mistakes_are_one_line(options, words, capsys, tmp_path):
    assert main(["data", "show", *options]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_bad_image_is_answered_with_a_command_that_leaves_it_out(tmp_path, photographs, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(photographs[0]).save(folder / "good.png")
    (folder / "no.jpg").write_bytes(b"no image")
    assert main(["data", "show", str(folder)]) == 2
    assert "no.jpg" in (said := capsys.readouterr().err) and "--skip-bad of massrl data write" in said
    assert main(["data", "write", str(folder), "a.beton", "--skip-bad"]) == main(["data", "show", "a.beton"]) == 0


@pytest.mark.parametrize("options", [["--boxes"], ["--op", "Hue"], []])
def test_check_draws_and_leaves_nothing_behind(options, capsys, tmp_path):
    assert main(["data", "show", "--check", *options]) == 0
    assert "rendered and removed" in capsys.readouterr().out and list(tmp_path.iterdir()) == []
