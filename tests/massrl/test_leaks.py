"""`massrl.check_data` and `massrl data check`: copies of test images among the training images are found."""

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

import massrl
from data_loading import DatasetWriter
from data_loading.errors import ConfigError, SourceError
from data_loading.fields import RGBImageField
from helpers import test_data
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint
from massrl.leaks import candidates, correlation
from massrl.leaks.check import CERTAIN, LOOK, SAME
from massrl.leaks.marked import as_line, read_marked
from massrl.leaks.thumbnails import SIDE, coarse, thumbnail
from massrl.report import leak_page


def scene(seed: int, side: int = 96) -> Image.Image:
    """A generated picture with large and small structure, unlike any of another seed."""
    rng = np.random.default_rng(seed)
    layers = []
    for cells, strength in ((4, 70), (10, 60), (30, 40)):
        field = Image.fromarray(rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8))
        layers.append(strength * (np.asarray(field.resize((side, side), Image.Resampling.BICUBIC)) / 127.5 - 1))
    return Image.fromarray((128 + sum(layers)).clip(0, 255).astype(np.uint8))


def shifted(image):
    return image.crop((9, 6, 96, 93))  # 10 % off two sides


def scaled(image):
    return image.crop((8, 8, 88, 88)).resize((120, 120), Image.Resampling.BICUBIC)


def recoloured(image):
    return Image.fromarray((np.asarray(image) * [0.5, 0.6, 0.4] + [60, 30, 80]).astype(np.uint8))


def grey(image):
    return image.convert("L").convert("RGB")


def squashed(image):
    return image.resize((64, 60), Image.Resampling.BOX)


def framed(image):
    out = Image.new("RGB", (108, 108), (250, 250, 250))
    out.paste(image, (6, 6))
    return out


COPIES = (shifted, scaled, recoloured, grey, squashed, framed)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """train: 40 scenes.  test: 20 others; each of the first scenes of train by one of COPIES; one file unchanged."""
    root = tmp_path_factory.mktemp("leaks")
    for name in ("train", "test"):
        (root / name).mkdir()
    for i in range(40):
        scene(i).save(root / "train" / f"{i:02}.jpg", quality=90)
    for i in range(20):
        scene(1000 + i).save(root / "test" / f"other{i:02}.jpg", quality=90)
    for i, change in enumerate(COPIES):
        change(scene(i)).save(root / "test" / f"{change.__name__}.jpg", quality=40)
    (root / "test" / "equal.png").write_bytes(b"")
    with Image.open(root / "train" / "39.jpg") as image:
        image.save(root / "test" / "equal.png")  # other bytes, the same pixels
    return root


@pytest.fixture(scope="module")
def found(folders):
    return massrl.check_data(folders / "train", folders / "test", cache_dir=folders / "cache", progress=False)


# ---- what is found


def test_copies_are_found_whatever_was_done_to_them_and_nothing_else_is(found):
    best = {}
    for pair in found.pairs:
        best.setdefault(pair.name, pair)
    assert sorted(best) == sorted([*(f"{change.__name__}.jpg" for change in COPIES), "equal.png"])
    for i, change in enumerate(COPIES):
        pair = best[f"{change.__name__}.jpg"]
        assert pair.train_name == f"{i:02}.jpg" and pair.verdict == CERTAIN and 0.9 <= pair.score <= 1
    assert (best["equal.png"].train_name, best["equal.png"].verdict) == ("39.jpg", SAME)
    assert found.number() == {SAME: 1, CERTAIN: len(COPIES), LOOK: 0}
    assert found.counts == {"train": 40, "against": 27} and not found.warnings


def test_rows_are_those_of_the_test_images(found, folders):
    names = sorted(path.name for path in (folders / "test").iterdir())
    assert [names[row] for row in found.rows()] == sorted({pair.name for pair in found.pairs})
    assert [names[row] for row in found.rows(SAME)] == ["equal.png"]


def test_a_beton_file_gives_the_pairs_of_the_folder_with_rows_for_names_where_it_has_none(found, folders, tmp_path):
    for part in ("train", "test"):
        assert main(["data", "write", str(folders / part), f"{part}.beton"]) == 0
    again = massrl.check_data("train.beton", tmp_path / "test.beton", num_workers=1, progress=False)
    assert again.pairs == found.pairs
    for part in ("train", "test"):
        (tmp_path / f"{part}.index.json").unlink()
    again = massrl.check_data("train.beton", "test.beton", num_workers=1, progress=False)
    bare = [dataclasses.replace(p, name=str(p.row), train_name=str(p.train_row)) for p in found.pairs]
    assert again.pairs == bare


def test_duplicates_within_one_set_are_listed_once_with_the_later_image_first(folders, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(6):
        scene(i).save(images / f"{i}.png")
    for name, change in (("6", shifted), ("7", grey)):
        change(scene(1)).save(images / f"{name}.png")
    scene(2).save(images / "8.png")
    found = massrl.check_data(images, progress=False)
    pairs = {(p.name, p.train_name): p.verdict for p in found.pairs}
    assert pairs == {
        ("8.png", "2.png"): SAME,
        **dict.fromkeys([("6.png", "1.png"), ("7.png", "1.png"), ("7.png", "6.png")], CERTAIN),
    }
    assert found.rows().tolist() == [6, 7, 8] and "duplicates within" in repr(found)


def test_images_of_one_shade_or_size_1_are_equal_or_not_but_never_similar(tmp_path):
    flat = [np.full((5, 7, 3), level, np.uint8) for level in (0, 90, 91, 90)] + [np.full((1, 1, 3), 90, np.uint8)]
    for name, rows in (("a", [0, 1]), ("b", [2, 3, 4])):
        writer = DatasetWriter(f"{name}.beton", {"image": RGBImageField("raw")})
        writer.from_indexed_dataset([(flat[row],) for row in rows], progress=False)
    found = massrl.check_data("a.beton", "b.beton", progress=False)
    assert [(p.row, p.train_row, p.verdict) for p in found.pairs] == [(1, 1, SAME)]


# ---- the two stages


def test_a_thumbnail_is_the_mean_of_the_areas_of_the_grey_image():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3 * SIDE, 2 * SIDE, 3)).astype(np.uint8)
    luma = image @ np.array([0.299, 0.587, 0.114])
    means = luma.reshape(SIDE, 3, SIDE, 2).mean((1, 3))
    np.testing.assert_allclose(thumbnail(image), means, atol=1.01)  # two roundings to whole levels


def test_the_coarse_product_is_the_correlation_of_8_x_8_images():
    grey = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE)).astype(np.uint8)
    small = grey.reshape(6, 8, 4, 8, 4).mean((2, 4)).reshape(6, 64)
    np.testing.assert_allclose(coarse(grey) @ coarse(grey).T, np.corrcoef(small), atol=1e-5)
    assert not coarse(np.full((1, SIDE, SIDE), 7, np.uint8)).any()


@pytest.mark.parametrize("itself", [False, True])
@pytest.mark.parametrize("k", [1, 4, 60])
def test_candidates_are_those_of_a_full_sort_for_any_blocks(monkeypatch, itself, k):
    rng = np.random.default_rng(3)
    bank = rng.integers(-3, 4, (50, 5)).astype(np.float32)  # whole numbers: exact, and with many ties
    queries = bank if itself else rng.integers(-3, 4, (23, 5)).astype(np.float32)
    full = queries @ bank.T
    if itself:
        np.fill_diagonal(full, -np.inf)
    order = np.argsort(-full, axis=1, kind="stable")[:, : min(k, 50 - itself)]
    for size in ((7, 11), (100, 100), (1, 1)):
        monkeypatch.setattr(candidates, "QUERIES", size[0])
        monkeypatch.setattr(candidates, "BANK", size[1])
        rows, similarity = candidates.nearest(queries, bank, k, itself, num_workers=2)
        np.testing.assert_array_equal(rows, order)
        np.testing.assert_array_equal(similarity, np.take_along_axis(full, order, 1))


def test_the_memory_of_the_search_does_not_grow_with_the_bank():
    import tracemalloc

    rng = np.random.default_rng(0)
    queries = rng.normal(size=(2 * candidates.QUERIES, 8)).astype(np.float32)
    peaks = []
    for blocks in (2, 6):
        bank = rng.normal(size=(blocks * candidates.BANK, 8)).astype(np.float32)
        tracemalloc.start()
        candidates.nearest(queries, bank, 20, num_workers=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    block = candidates.QUERIES * candidates.BANK * 4
    assert peaks[1] <= 1.05 * peaks[0] and peaks[0] < 4 * block


def test_scores_equal_a_loop_over_shifts_and_scales_in_float64():
    images = np.stack([thumbnail(np.asarray(scene(i))) for i in range(3)])
    train = np.stack([thumbnail(np.asarray(shifted(scene(i)))) for i in (1, 2, 5)])
    rows = np.array([[0, 1], [2, 0], [1, 2]])
    scores = correlation.scores(images, train, rows, num_workers=1)
    for i in range(3):
        for j in range(2):
            assert scores[i, j] == pytest.approx(slow_score(images[i], train[rows[i, j]]), abs=2e-5)


def slow_score(image, candidate):
    """The equation of massrl/leaks/correlation.py, with NumPy's correlation coefficient."""
    window, best = correlation.WINDOW, -1.0

    def planes(pixels, side):
        ratio = SIDE / side
        resize = np.zeros((side, SIDE))
        for i in range(side):
            for j in range(SIDE):
                resize[i, j] = max(0, 1 - abs(j - ((i + 0.5) * ratio - 0.5)) / max(1, ratio))
        resize /= resize.sum(1, keepdims=True)
        plain = resize @ pixels.astype(np.float64) @ resize.T
        blurred = []
        for sigma in (correlation.NARROW, correlation.WIDE):
            weights = np.array(
                [
                    [np.exp(-0.5 * ((i - j) / sigma) ** 2) if abs(i - j) <= 4 * sigma else 0 for j in range(side)]
                    for i in range(side)
                ]
            )
            weights /= weights.sum(1, keepdims=True)
            blurred.append(weights @ plain @ weights.T)
        return plain, blurred[0] - blurred[1]

    def cut(plane, y, x):
        return plane[y : y + window, x : x + window].ravel()

    edge = (SIDE - window) // 2
    theirs = [cut(plane, edge, edge) for plane in planes(candidate, SIDE)]
    for side in correlation.SCALES:
        last = side - window
        near = [p for p in range(last + 1) if abs(p - last / 2) <= correlation.REACH + 0.5]
        ours = planes(image, side)
        for y in near:
            for x in near:
                values = [np.corrcoef(cut(p, y, x), t)[0, 1] for p, t in zip(ours, theirs, strict=True)]
                best = max(best, sum(values) / 2)
    return best


def test_scores_do_not_depend_on_brightness_contrast_or_threads():
    images = np.stack([thumbnail(np.asarray(scene(i))) for i in range(3)])
    train = np.stack([thumbnail(np.asarray(scaled(scene(i)))) for i in range(3)])
    rows = np.array([[0, 1, 2]] * 3)
    scores = correlation.scores(images, train, rows, num_workers=1)
    np.testing.assert_array_equal(correlation.scores(images, train, rows, num_workers=3), scores)
    paler = (images // 2 + 90).astype(np.uint8)
    np.testing.assert_allclose(correlation.scores(paler, train, rows), scores, atol=5e-3)  # halves are rounded
    assert scores.argmax(1).tolist() == [0, 1, 2] and np.diag(scores).min() > 0.9
    assert scores[~np.eye(3, dtype=bool)].max() < 0.8


@pytest.mark.long
def test_changed_copies_of_photographs_are_found_among_others(tmp_path):
    """Of 400 photographs against 1,200 others, and 200 changed copies of those."""
    train, test = test_data("data", "imagenette224", "train"), test_data("data", "imagenette224", "val")
    (tmp_path / "copies").mkdir()
    files = sorted(train.glob("*/*.jpg"))[::6]
    for i, file in enumerate(files):
        with Image.open(file) as image:
            small = image.convert("RGB").resize((96, 96), Image.Resampling.BOX)
        COPIES[i % len(COPIES)](small).save(tmp_path / "copies" / file.name, quality=60)
    found = massrl.check_data(train, tmp_path / "copies", progress=False)
    right = {pair.row for pair in found.pairs if pair.train_name.endswith(f"/{pair.name}")}
    assert len(right) >= 0.95 * len(files)  # it is 192 of 200: a frame hides some from the search for candidates
    clean = massrl.check_data(train, test, progress=False)
    assert len(clean.rows()) <= 0.01 * 400


# ---- pairs that a person has marked


def test_marked_pairs_are_not_reported_again(found, folders, tmp_path):
    pair = next(pair for pair in found.pairs if pair.verdict == CERTAIN)
    marks = tmp_path / "marks.csv"
    marks.write_text(f"image,train_image\n# looked at\n\n{as_line(pair.name, pair.train_name)},not the same\n")
    options = {"pairs": marks, "cache_dir": folders / "cache", "progress": False}
    again = massrl.check_data(folders / "train", folders / "test", **options)
    assert [p for p in found.pairs if p not in again.pairs] == [pair]
    assert again.marked == 1 and "no duplicates" in repr(again)


def test_within_one_set_a_pair_is_marked_in_either_order(tmp_path):
    (tmp_path / "images").mkdir()
    for name, image in (("a", scene(1)), ("b", grey(scene(1))), ("c", scene(2))):
        image.save(tmp_path / "images" / f"{name}.png")
    assert len(massrl.check_data(tmp_path / "images", progress=False).pairs) == 1
    for line in ("a.png,b.png", "b.png,a.png"):
        (tmp_path / "marks.csv").write_text(line)
        found = massrl.check_data(tmp_path / "images", pairs=tmp_path / "marks.csv", progress=False)
        assert not found.pairs and found.marked == 1


def test_names_with_commas_quotes_and_bytes_that_are_no_utf_8_survive_the_file(tmp_path):
    names = ["a,b.jpg", 'c"d.jpg', "caf\udce9.jpg"]
    text = "".join(as_line(name, name) + "\n" for name in names)
    (tmp_path / "marks.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert read_marked(tmp_path / "marks.csv", names, names[::-1]) == {(0, 2), (1, 1), (2, 0)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.jpg,x.jpg\nnobody.jpg,x.jpg", "line 2: no image is called 'nobody.jpg'; names are such as 'a.jpg'"),
        ("a.jpg", "line 1: 'a.jpg' is alone; write image,train_image"),
        ('"a.jpg', "line 1"),
    ],
)
def test_a_wrong_line_of_marks_is_named(tmp_path, text, words):
    (tmp_path / "marks.csv").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_marked(tmp_path / "marks.csv", ["a.jpg"], ["x.jpg"])


# ---- sets that are the same or swapped


def test_the_same_images_as_training_and_test_images_are_refused(folders, tmp_path):
    with pytest.raises(ConfigError, match="have the same content"):
        massrl.check_data(folders / "train", folders / "train", cache_dir=folders / "cache", progress=False)
    main(["data", "write", str(folders / "train"), "one.beton"])
    (tmp_path / "two.beton").write_bytes((tmp_path / "one.beton").read_bytes())
    with pytest.raises(ConfigError, match=r"one\.beton and two\.beton have the same content"):
        massrl.check_data("one.beton", "two.beton", progress=False)


def test_swapped_sets_are_said_loudly(folders, capsys, tmp_path):
    (tmp_path / "half").mkdir()
    for path in sorted((folders / "train").iterdir())[:10]:
        (tmp_path / "half" / path.name).write_bytes(path.read_bytes())
    assert main(["data", "check", "half", "--against", str(folders / "train")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("WARNING: ") and "contains 10 of its 10 images: are the two swapped?" in lines[0]
    assert main(["data", "check", str(folders / "train"), "--against", "half"]) == 0
    assert "WARNING: 10 of the 10 images of half are in" in capsys.readouterr().out
    assert main(["data", "check", str(folders / "test"), "--against", str(folders / "train")]) == 0
    assert capsys.readouterr().out.startswith("WARNING: the training images are ")


# ---- the command


def test_the_command_writes_one_page_with_all_pictures_and_the_record(folders, tmp_path, capsys):
    argv = ["data", "check", str(folders / "train"), "--against", str(folders / "test"), "--json", "found.json"]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert re.search(r"almost certain +6 +22\.22  score of at least 0\.9", said)
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["images"] == {SAME: 1, CERTAIN: len(COPIES), LOOK: 0}
    assert record["pairs"][0]["name"] == "equal.png" and record["train_images"] == 40
    page = (tmp_path / "leaks.html").read_text()
    assert page.count("<figure>") == len(record["pairs"]) and page.count("data:image/") == 2 * len(record["pairs"])
    assert set(re.findall(r'(?:src|href)="(.{5})', page)) == {"data:"} and "shifted.jpg,00.jpg" in page


def test_a_page_is_written_where_names_are_no_utf_8(found, tmp_path):
    odd = dataclasses.replace(found, pairs=[dataclasses.replace(pair, name="caf\udce9.jpg") for pair in found.pairs])
    assert "caf\\xe9.jpg" in leak_page.build(odd, tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_without_pairs_says_so_and_replaces_an_older_one(folders, tmp_path, capsys):
    (tmp_path / "leaks.html").write_text("old")
    (tmp_path / "few").mkdir()
    for i in range(3):
        scene(500 + i).save(tmp_path / "few" / f"{i}.png")
    assert main(["data", "check", str(folders / "train"), "--against", "few"]) == 0
    assert "0 pairs" in capsys.readouterr().out and "old" not in (tmp_path / "leaks.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--candidates", "0"], "candidates is 0; it must be an integer from 1 to 1000"),
        (["--candidates", "1000000000"], "candidates is 1000000000"),
        (["--num_workers", "-1"], "num_workers is -1"),
        (["--json", "."], "json is '.', which is a folder; name a file"),
        (["--out", "page.png"], "give a name that ends in .html"),
        (["--pairs", "nowhere.csv"], "pairs: nowhere.csv cannot be read: No such file"),
        (["--against", "nowhere"], "nowhere"),
        (["--against", "nowhere.beton"], "nowhere.beton: there is no such file"),
    ],
)
def test_mistakes_are_answered_in_one_line_and_leave_no_page(folders, tmp_path, capsys, options, words):
    argv = ["data", "check", str(folders / "train"), "--against", str(folders / "test"), *options]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and words in said and not (tmp_path / "leaks.html").exists()


def test_what_is_no_set_of_images_is_refused(tmp_path):
    for wrong in (7, None):
        with pytest.raises(ConfigError, match="name a folder of images or .beton files"):
            massrl.check_data(wrong)
    with pytest.raises(SourceError, match="empty list"):
        massrl.check_data([])


# ---- the accuracy without the flagged images


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Class folders: 16 training images; 8 test images, two of which are copies; a checkpoint; the check's result."""
    root = tmp_path_factory.mktemp("accuracy")
    for part, count, first in (("train", 8, 0), ("test", 3, 100)):
        for label, name in enumerate(("ants", "bees")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                scene(first + 10 * label + i).save(root / part / name / f"{i}.png")
    for label, name in enumerate(("ants", "bees")):
        shifted(scene(10 * label + 5)).save(root / "test" / name / "copy.png")
    checkpoint = sample_checkpoint(root, root / "train")
    check = massrl.check_data(root / "train", root / "test", cache_dir=root / "cache", progress=False)
    (root / "leaks.json").write_text(json.dumps(check.to_dict()))
    return root, checkpoint


def test_the_accuracy_without_flagged_images_is_that_of_a_test_set_that_lacks_them(run, tmp_path):
    root, checkpoint = run
    options = {"num_workers": 1, "cache_dir": root / "cache"}
    found = massrl.knn(checkpoint, root / "train", root / "test", leaks=root / "leaks.json", k=3, **options)
    for path in (root / "test").glob("*/[0-9].png"):
        (tmp_path / "clean" / path.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "clean" / path.parent.name / path.name).write_bytes(path.read_bytes())
    clean = massrl.knn(checkpoint, root / "train", tmp_path / "clean", k=3, **options)
    flagged, scores = found.clean
    assert (len(flagged.rows), scores.tolist()) == (2, [clean.accuracy]) and clean.clean is None
    record = found.to_dict()["without_flagged"]
    assert record["mean"] == clean.accuracy and record["flagged"] == 2 and record["verdicts"][CERTAIN] == 2
    assert "without the 2 flagged test images" in repr(found) and "without the 2 flagged" in found._repr_html_()


def test_linear_prints_the_second_line_from_the_command_line(run, capsys):
    root, checkpoint = run
    argv = ["linear", "--checkpoint", checkpoint, "--train", root / "train", "--test", root / "test"]
    argv += ["--cache_dir", root / "cache", "--num_workers", 1, "--labels", "one", "--draws", 3]
    assert main([*map(str, argv), "--leaks", str(root / "leaks.json")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "without the 2 flagged" in line)
    assert line.split()[-1] == "3"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(against_sha256="0"), "is of other test images than those that are given"),
        (lambda r: r.update(train_sha256="0"), "is of other training images"),
        (lambda r: r.pop("against_sha256"), "is no check of training against test images"),
        (lambda r: r.update(pairs=[{"row": "x"}]), "is no check of training against test images"),
        (lambda r: r.update(pairs=[{"row": row} for row in range(8)]), "flags every test image"),
    ],
)
def test_a_check_of_other_images_or_of_all_is_refused(run, tmp_path, capsys, change, words):
    root, checkpoint = run
    record = json.loads((root / "leaks.json").read_text())
    change(record)
    (tmp_path / "changed.json").write_text(json.dumps(record))
    argv = ["knn", "--checkpoint", checkpoint, "--train", root / "train", "--test", root / "test", "--k", 3]
    argv += ["--num_workers", 1, "--cache_dir", root / "cache", "--leaks", tmp_path / "changed.json"]
    assert main([str(word) for word in argv]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and words in said


def test_equal_and_swapped_training_and_test_images_are_said_above_the_accuracy(run):
    root, checkpoint = run
    options = {"k": 3, "num_workers": 1, "cache_dir": root / "cache"}
    same = massrl.knn(checkpoint, root / "train", root / "train", **options)
    assert repr(same).startswith("WARNING: the training and test images have the same content")
    swapped = massrl.knn(checkpoint, root / "test", root / "train", **options)
    assert repr(swapped).startswith("WARNING: the training images are ") and "swapped?" in swapped.warnings[0]
    right = massrl.knn(checkpoint, root / "train", root / "test", **options)
    assert right.to_dict()["warnings"] == [] and "WARNING" not in repr(right)
