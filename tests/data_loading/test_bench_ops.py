"""Benchmarks of ops: what is timed, whether all libraries get the same pixels, and the table and its sentences."""

import json
import types
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from data_loading.bench import op_table, ops
from data_loading.bench.op_cases import OPENCV, PILLOW, TORCHVISION, Difference, OpCase, cases
from data_loading.bench.ops import PEERS, SIMCLR, USUAL, Material, Row, chosen, measure
from data_loading.bench.peers import OURS
from data_loading.errors import ConfigError, UnknownName
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD

SIDE = 40


@pytest.fixture(scope="module")
def material():
    """Four cuts of scikit-learn's photographs, of several sizes."""
    china, flower = load_sample_images().images
    cuts = [china[:120, :90], china[200:290, 300:420], flower[100:180, 100:180], flower[:200, :60]]
    return Material(cuts, SIDE)


def case(name):
    return next(case for case in cases(SIDE) if case.name == name)


def levels(views):
    """Normalised views as levels of 255: (N, 3, S, S)."""
    std, mean = (np.array(x).reshape(3, 1, 1) for x in (IMAGENET_STD, IMAGENET_MEAN))
    return 255 * (views * std + mean)


def rows(us, name="grayscale", op="Grayscale", differs=None, apart=None):
    """Rows of one case; us: library -> microseconds of each round."""
    one = OpCase(name, op, SIDE, differs=differs or {})
    return [
        Row(one, peer, np.array(times, float), np.array(times, float) + 100 if peer == OURS else None, apart)
        for peer, times in us.items()
    ]


def test_without_names_every_op_is_measured_once_or_as_its_usual_numbers_say():
    usual, every = chosen(None, SIDE), cases(SIDE)
    assert {case.op for case in usual} == {case.op for case in every} >= set(SIMCLR)
    assert {name for names in USUAL.values() for name in names} <= {case.name for case in usual}
    assert all(len(USUAL.get(op, [op])) == [case.op for case in usual].count(op) for op in {case.op for case in every})
    assert len(chosen("all", SIDE)) == len(every) > len(usual)


def test_an_op_that_is_named_is_measured_with_all_its_numbers():
    assert [case.name for case in chosen("Grayscale, Solarize", SIDE)] == ["grayscale"] + [
        case.name for case in cases(SIDE) if case.op == "Solarize"
    ]


def test_a_wrong_op_or_size_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="no op named 'Grayscal'. Did you mean 'Grayscale'"):
        chosen("Grayscal", SIDE)
    with pytest.raises(ConfigError, match="size is 0; ops are timed on views of 1 to 4096 pixels"):
        chosen(None, 0)


def test_simclrs_family_is_what_its_strategy_and_byols_are_made_of():
    from data_loading.strategies import strategy

    used = [strategy("simclr"), strategy("byol")]
    made = {type(op).__name__ for one in used for variant in one.variants for op in variant}
    assert made | {type(one.crop).__name__ for one in used} == set(SIMCLR)


def test_every_simclr_op_has_every_peer():
    for case in chosen(None, SIDE):
        if case.op in SIMCLR:
            assert set(PEERS) == set(case.peers) and case.pillow and case.tensor, case.name


def test_ours_is_the_view_with_the_op_less_the_view_without_it_and_a_peer_is_alone(monkeypatch):
    clock = [0.0]

    def takes(seconds):
        def run():
            clock[0] += seconds

        return run

    done = OpCase("done", "Invert", SIDE, peers={PILLOW: lambda image: image})
    stand_in = types.SimpleNamespace(
        images=[None] * 4,  # whose number divides
        ours=lambda case: (takes(7e-3), takes(5e-3)),
        peer=lambda case, peer: takes(1e-3) if peer == PILLOW else None,
        given=lambda case: [np.zeros((SIDE, SIDE, 3), np.uint8)],
    )
    monkeypatch.setattr(ops, "time", types.SimpleNamespace(thread_time=lambda: clock[0]))
    ours, pillow = measure(done, stand_in, rounds=3)
    np.testing.assert_allclose(ours.us, [500] * 3)  # 2 ms over 4 images
    np.testing.assert_allclose(ours.view_us, [1750] * 3)
    np.testing.assert_allclose(pillow.us, [250] * 3)
    assert [ours.peer, pillow.peer] == [OURS, PILLOW]


def test_the_two_views_that_are_compared_differ_by_the_op_alone(material):
    with_op, without = material.ours(case("invert"))
    plain = levels(without().copy())  # the next call overwrites it
    np.testing.assert_allclose(levels(with_op()), 255 - plain, atol=1e-3)  # float32 of values up to 255


def test_a_crop_is_compared_with_a_view_of_pixels_that_are_cropped_already(material):
    crop = case("random resized crop")
    with_op, without = material.ours(crop)
    ready = np.stack(material.crops).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(levels(without()), ready, atol=1e-3)  # float32 of values up to 255
    made = np.stack([crop.ours("float32")(image) for image in material.images]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(levels(with_op()), made, atol=1e-3)


def test_all_libraries_are_given_the_same_pixels_each_in_its_own_form(material):
    seen = {}

    def keeps(name):
        return lambda image: seen.setdefault(name, []).append(image)

    kept = {OPENCV: keeps(OPENCV)}
    spy = replace(case("invert"), peers=kept, pillow=keeps(PILLOW), tensor=keeps(TORCHVISION))
    for peer in PEERS:
        material.peer(spy, peer)()
    for pillow, array, tensor, crop in zip(*(seen[p] for p in PEERS), material.crops, strict=True):
        assert pillow.mode == "RGB" and tensor.is_contiguous() and array.flags.c_contiguous
        assert tensor.dtype == torch.uint8 and tensor.shape == (3, SIDE, SIDE)
        for other in (np.asarray(pillow), array, tensor.permute(1, 2, 0).numpy()):
            np.testing.assert_array_equal(other, crop)


def test_a_flip_is_the_same_picture_in_every_library(material):
    measured = measure(case("horizontal flip"), material, rounds=1)
    assert [r.peer for r in measured] == [OURS, *PEERS]
    assert all(r.difference[:2] == (0, 0) and (r.us > 0).all() for r in measured[1:])


def test_a_peer_that_fails_at_an_op_is_told_and_left_out():
    said = []
    tiny = Material([np.zeros((9, 9, 3), np.uint8)], side=1)
    (blur,) = (case for case in cases(1) if case.name == "blur 2.0")
    assert TORCHVISION not in [r.peer for r in measure(blur, tiny, 1, said.append)]  # it cannot mirror one pixel
    assert len(said) == 1 and said[0].startswith("blur 2.0: torchvision v2 is left out: RuntimeError")


def test_threads_are_as_many_as_before_when_ops_were_measured(material):
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(2)
        cv2.setNumThreads(2)
        with ops.threads_off():
            assert torch.get_num_threads() == 1 and cv2.getNumThreads() == 1
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_the_json_has_the_documented_keys():
    ours, peer = rows({OURS: (4, 6, 5), PILLOW: (20, 20, 20)})
    peer.difference = Difference(0.25, 3, 1.0)
    assert op_table.as_json([ours, peer]) == [
        {
            "op": "grayscale", "peer": OURS, "us_per_image": 5, "mean_diff": None, "max_diff": None,
            "interval": [4, 6], "view_us_per_image": 105,
        },
        {
            "op": "grayscale", "peer": PILLOW, "us_per_image": 20, "mean_diff": 0.25, "max_diff": 3,
            "interval": [20, 20],
        },
    ]  # fmt: skip


def test_the_table_compares_with_the_fastest_peer_that_has_the_op():
    measured = rows({OURS: (5, 5), PILLOW: (30, 30), OPENCV: (20, 20)}, apart=Difference(0.5, 2, 1.0))
    head, line = op_table.table(measured).splitlines()
    assert line.split() == "grayscale 5 [5, 5] 105 30 20 4 [4, 4] 0.50 / 2 0.50 / 2".split()
    assert head.index("OpenCV") == line.index("20 ")  # the columns stand below their names


@pytest.mark.parametrize(
    "us, said", [((-1, 0, 4), "over 5"), ((-1, -2, -3), "ours costs nothing"), ((5, 5, 5), "4 [4, 4]")]
)
def test_no_ratio_is_told_of_what_may_be_nothing(us, said):
    assert op_table.times(*rows({OURS: us, PILLOW: (20, 20, 20)})) == said


def test_the_verdict_names_what_holds_what_is_even_and_what_costs_more():
    said = op_table.verdict(
        rows({OURS: (5, 5, 5), PILLOW: (9, 9, 9), OPENCV: (6, 6, 6)})
        + rows({OURS: (5, 6, 7), PILLOW: (6, 6, 6)}, "jitter", "ColorJitter")
        + rows({OURS: (8, 8, 8), OPENCV: (7, 7, 7), PILLOW: (9, 9, 9)}, "blur", "GaussianBlur")
        + rows({OURS: (8, 8, 8), OPENCV: (7, 7, 7)}, "rotate", "Rotate")
    )
    assert said == [
        "SimCLR's family: inside a view no more than the fastest peer takes alone: grayscale",
        "SimCLR's family: jitter costs 6 us inside a view, as much, within its interval, as Pillow takes alone, 6",
        "SimCLR's family: blur costs 8 us inside a view, more than OpenCV takes alone, 7",
    ]


def test_a_faster_peer_that_makes_another_picture_is_told_as_that():
    us, differs = {OURS: (8, 8), OPENCV: (7, 7), PILLOW: (30, 30)}, {OPENCV: "not antialiased"}
    measured = rows(us, "crop", "RandomResizedCrop", differs)
    assert op_table.verdict(measured)[0].endswith(
        "more than OpenCV takes alone, 7 (not antialiased); of those with equal pixels, Pillow takes 30"
    )
    assert op_table.notes(measured) == ["OpenCV not antialiased: crop"]


def run(capsys, *words):
    from massrl.cli.main import main

    code = main(["data", "bench", "--ops", *words])
    return code, *capsys.readouterr()


def test_the_command_measures_the_photographs_where_no_file_is_given(tmp_path, capsys):
    out = tmp_path / "new" / "ops.json"
    words = ["--only", "Grayscale,Invert", "--rounds", "2", "--images", "2", "--size", "32", "--json", str(out)]
    code, said, _ = run(capsys, *words)
    assert code == 0 and "scikit-learn's photographs: 2 images, views of 32 px" in said and "SimCLR's family" in said
    found = json.loads(out.read_text())
    assert {(r["op"], r["peer"]) for r in found} == {(o, p) for o in ("grayscale", "invert") for p in (OURS, *PEERS)}
    assert all(r["max_diff"] == 0 for r in found if r["op"] == "invert" and r["peer"] != OURS)


def test_a_check_of_ops_measures_drawn_images_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, _ = run(capsys, "--check", "--only", "HorizontalFlip")
    assert code == 0 and "16 images, views of 32 px" in said and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words, message",
    [
        (["--only", "Solarise"], "no op named 'Solarise'. Did you mean 'Solarize'"),
        (["--only", ""], "--only is ''"),
        (["--size", "0"], "size is 0"),
        (["--rounds", "0"], "rounds is 0"),
        (["--images", "0"], "images is 0"),
        (["--works", "simclr"], "works has no effect with --ops"),
        (["--workers", "2"], "workers has no effect with --ops"),
        (["nowhere.beton"], "nowhere.beton"),
    ],
)
def test_a_wrong_setting_of_ops_is_one_line(words, message, capsys):
    code, _, said = run(capsys, *words)
    assert code == 2 and message in said and said.count("\n") == 1


def test_a_json_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    words = ["--only", "Invert", "--rounds", "1", "--images", "1", "--size", "8", "--json", f"{tmp_path}/file/ops.json"]
    code, _, said = run(capsys, *words)
    assert code != 0 and "which cannot be written" in said and said.count("\n") == 1


def test_settings_of_ops_need_ops(capsys):
    from massrl.cli.main import main

    assert main(["data", "bench", "x.beton", "--only", "Invert"]) == 2
    assert "only has no effect without --ops" in capsys.readouterr().err
