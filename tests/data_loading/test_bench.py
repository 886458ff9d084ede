"""Benchmarks of loaders: what is timed, ratios, whether the peers make the views of the works, and the doctor."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from data_loading import DatasetWriter, Loader
from data_loading.bench import doctor, stages, text_table, timing
from data_loading.bench.images import StoredImages, cut_photographs
from data_loading.bench.peers import BOUND, OURS, PEERS, is_installed
from data_loading.bench.process import ROOT, PeerProcess, memory_mb
from data_loading.bench.worker import clock
from data_loading.bench.works import WORKS, chosen, four_blurs, listed, notes
from data_loading.errors import ConfigError, UnknownName, UserError
from data_loading.sources import open as open_source
from data_loading.views import view_sets
from helpers import running


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """12 JPEGs cut from scikit-learn's photographs, as a .beton file."""
    folder = tmp_path_factory.mktemp("bench")
    source = open_source(str(cut_photographs(folder / "photographs", 12)))
    writer = DatasetWriter(folder / "photographs.beton", source.fields(), num_workers=1)
    writer.from_indexed_dataset(source)
    return folder / "photographs.beton"


def row(peer, *rates, work="simclr", workers=1):
    return timing.Row(work, peer, workers, np.array(rates, float), 0.5, 100.0)


def test_the_clock_runs_from_the_last_untimed_batch_to_the_last_one(monkeypatch):
    ticks = iter([10.0, 11.0, 13.0, 16.0])  # four batches are handed over at these times
    monkeypatch.setattr("data_loading.bench.worker.time.perf_counter", lambda: next(ticks))
    assert clock(iter([8, 8, 8, 4]), untimed=2) == (12, 5.0)  # the third and the fourth, from 11 to 16


def test_a_round_with_nothing_to_time_is_refused():
    with pytest.raises(ValueError, match="fewer than 3 batches"):
        clock(iter([8, 8]), untimed=2)


def test_a_ratio_is_taken_round_by_round_so_that_a_drift_of_the_machine_cancels():
    drift = np.array([1.0, 0.5, 0.8, 1.1, 0.6, 0.9, 1.0, 0.7, 0.95])
    assert timing.ratio(300 * drift, 100 * drift) == pytest.approx((3.0, 3.0, 3.0))


def test_the_interval_of_a_ratio_holds_its_median_and_widens_with_noise():
    noise = np.random.default_rng(0).normal(1, 0.02, 9)
    middle, low, high = timing.ratio(100 * noise, np.full(9, 50.0))
    assert low <= middle <= high and middle == pytest.approx(2.0, abs=0.05)
    _, wide_low, wide_high = timing.ratio(100 * (1 + 5 * (noise - 1)), np.full(9, 50.0))
    assert wide_high - wide_low > 2 * (high - low)


def test_decoding_alone_does_not_count_as_a_peer():
    rows = [row(OURS, 90, 90), row("torchvision", 10, 10), row("dali", 30, 30), row(BOUND, 100, 100)]
    assert timing.fastest_peer(rows, rows[0]).peer == "dali"
    assert "90 % of decoding alone" in timing.sentences(rows)[0]


def test_a_text_table_is_left_aligned_or_has_its_numbers_to_the_right_below_a_rule():
    rows = [("work", "images/s"), ("multicrop", "9")]
    assert text_table.aligned(rows) == "work       images/s\nmulticrop  9"
    assert text_table.ruled(rows) == "work       images/s\n-------------------\nmulticrop         9"
    assert [text_table.short(value) for value in (0.01234, 12.345, 1234.5)] == ["0.0123", "12.3", "1,234"]


def test_the_json_has_the_documented_keys_and_ratios():
    rows = [row(OURS, 80, 100, 120), row("torchvision", 10, 10, 10), row("lightly", 20, 20, 20)]
    ours = timing.as_json(rows)[0]
    keys = ["work", "peer", "workers", "images_per_s", "spread", "ratio_to_torchvision", "first_batch_s", "peak_mb"]
    assert list(ours)[:8] == keys
    assert (ours["images_per_s"], ours["spread"], ours["ratio_to_torchvision"]) == (100, 20, 10)
    assert (ours["fastest_peer"], ours["ratio_to_fastest_peer"]) == ("lightly", 5)


def test_the_ratio_to_lightly_is_told_first():
    rows = [row(OURS, 100, 100), row("torchvision", 5, 5), row("lightly", 10, 10)]
    assert timing.sentences(rows)[0].startswith(
        "simclr, 1 worker: massrl is 10 [10, 10] x lightly, 20 [20, 20] x torch"
    )


def test_works_are_chosen_by_the_size_of_the_images():
    assert [work.name for work in chosen(None, longest=32)] == ["cifar", "simclr32"]
    large = {"rrc", "simclr", "byol", "multicrop", "massrl", "four_blurs", "eval"}
    assert large == {work.name for work in chosen(None, longest=500)}


def test_every_work_resizes_bilinearly_as_its_peers_do():
    assert {view_sets.get(work.view_set()).interpolation for work in WORKS.values()} == {"bilinear"}


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="no work named 'simclt'. Did you mean 'simclr'"):
        chosen("simclt", longest=500)
    with pytest.raises(ConfigError, match="no peer is named"):
        listed("peer", " , ", PEERS)


@pytest.mark.parametrize("name", ["massrl", "four_blurs"])
def test_eight_views_are_made_of_two_boxes_by_us_as_by_the_peers(name):
    work = WORKS[name]
    ours = view_sets.get(work.view_set())
    assert [view.crop for view in ours.views] == [spec.crop for spec in work.views] == [0, 1] * 4
    assert len(work.boxes()) == 2


def test_the_work_massrl_has_the_strategies_of_the_paper_and_four_blurs_those_that_blur():
    assert [view.strategy for view in view_sets.get("massrl").views][::2] == [
        "simclr", "randaugment", "autoaugment", "fastautoaugment"
    ]  # fmt: skip
    assert WORKS["massrl"].view_set() == "massrl"  # the view set that a user gets by this name
    assert [spec.policy for spec in WORKS["massrl"].views][2:] == [
        name for name in ("randaugment", "autoaugment", "fastautoaugment") for _ in range(2)
    ]
    assert [view.strategy for view in four_blurs().views][::2] == ["simclr", "byol_a", "byol_b", "moco_v2"]
    assert all(spec.p_blur > 0 and not spec.policy for spec in WORKS["four_blurs"].views)


@pytest.mark.parametrize("work", WORKS.values(), ids=lambda work: work.name)
def test_our_views_are_what_the_peers_are_asked_for(work):
    ours = view_sets.get(work.view_set(), work.views[0].size)
    assert [view.size for view in ours.views] == [spec.size for spec in work.views]
    crops = [view.crop for view in ours.views]
    assert [crops.index(c) for c in crops] == [[s.crop for s in work.views].index(s.crop) for s in work.views]
    for at, spec in enumerate(work.views):
        ops = {type(op).__name__: op for op in ours.programs(at)[0] if op.p > 0}
        asked = {
            "HorizontalFlip": spec.flip, "ColorJitter": spec.jitter, "GaussianBlur": spec.p_blur,
            "Solarize": spec.p_solarize, "Choose": spec.policy,
        }  # fmt: skip
        assert {name for name in asked if name in ops} == {name for name, value in asked.items() if value}
        if spec.flip:
            assert ops["HorizontalFlip"].p == 0.5
        if spec.jitter:
            jitter = ops["ColorJitter"]
            assert (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue) == spec.jitter
            assert (jitter.p, ops["Grayscale"].p) == (spec.p_jitter, spec.p_gray)
        if spec.p_blur:
            assert ops["GaussianBlur"].p == spec.p_blur
        if spec.policy:
            policies = {"randaugment": (14, 2), "autoaugment": (25, 1), "fastautoaugment": (498, 1)}
            assert (len(ops["Choose"].policies), ops["Choose"].times) == policies[spec.policy]


def steps_of(name, spec):
    """What torchvision's peers do to a view after its crop."""
    from torchvision import transforms
    from torchvision.transforms import v2

    from data_loading.bench.peers.torchvision_v1 import augmentations

    return augmentations({"torchvision": transforms, "torchvision-v2": v2}[name], spec)


@pytest.mark.parametrize("name", ["torchvision", "torchvision-v2"])
def test_torchvisions_policies_have_our_ops_and_magnitudes_and_warp_as_ours_do(name):
    from torchvision.transforms import InterpolationMode

    flip, rand = steps_of(name, WORKS["massrl"].views[2])
    assert type(rand).__name__ == "RandAugment" and flip.p == 0.5
    assert (rand.num_ops, rand.magnitude, rand.num_magnitude_bins) == (2, 9, 31)  # of strategies.randaugment
    for view in WORKS["massrl"].views[4:]:
        flip, auto = steps_of(name, view)
        assert type(auto).__name__ == "AutoAugment" and auto.policy.value == "imagenet"
        assert {InterpolationMode(step.interpolation) for step in (rand, auto)} == {InterpolationMode.NEAREST}
        assert auto.fill is rand.fill is None  # black
    choose = view_sets.get("massrl").programs(2)[0][1]
    warps = [op for policy in choose.policies for op in policy if type(op).__name__ in ("Shear", "Rotate", "Translate")]
    assert [op.resampling for op in warps] == [[0.0, 0.0]] * 5  # (nearest pixel, black)


def test_a_second_autoaugment_is_about_as_many_ops_as_the_fast_autoaugment_that_it_stands_for():
    def ops_of_a_view(at):
        choose = view_sets.get("massrl").programs(at)[0][1]
        done = [sum(op.p for op in policy if type(op).__name__ != "Round") for policy in choose.policies]
        return sum(done) / len(done)

    assert ops_of_a_view(4) == pytest.approx(1.24, abs=0.01)  # AutoAugment
    assert ops_of_a_view(6) == pytest.approx(0.92, abs=0.01)  # Fast AutoAugment
    assert notes([WORKS["simclr"], WORKS["massrl"]]) == [f"massrl: {WORKS['massrl'].note}"]
    assert "Fast AutoAugment" in WORKS["massrl"].note


@pytest.mark.parametrize("name", ["massrl", "four_blurs", "multicrop"])
def test_a_peer_cuts_each_box_once_and_finishes_every_view_by_itself(name):
    from data_loading.bench.peers.base import Views

    work, cuts = WORKS[name], []

    def geometry(spec):
        return lambda image: cuts.append(spec.crop) or len(cuts)

    views = Views(work, geometry, lambda spec: lambda box: (spec, box))("image")
    assert cuts == list(range(len(work.boxes())))
    assert [spec for spec, _ in views] == list(work.views)
    assert [box - 1 for _, box in views] == [spec.crop for spec in work.views]


needs_albumentations = pytest.mark.skipif(not is_installed("albumentations"), reason="needs albumentations")


@needs_albumentations
@pytest.mark.filterwarnings("ignore")
def test_albumentations_policies_are_composed_as_torchvisions_are():
    from torchvision.transforms import AutoAugment

    from data_loading.bench.peers import albumentations as theirs

    rand, auto = theirs.rand_augment(224), theirs.auto_augment(224)
    assert (len(rand.transforms), rand.n, rand.replace, rand.p) == (14, 2, True, 1)
    assert {op.p for op in rand.transforms} == {1.0}
    assert [[op.p for op in pair.transforms] for pair in auto.transforms] == [
        [p for _, p, _ in pair] for pair in AutoAugment().policies
    ]
    assert {pair.p for pair in auto.transforms} == {auto.p} == {1.0}


@needs_albumentations
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sign", [1, -1])
def test_the_ops_of_albumentations_policies_make_torchvisions_pictures(sign, photographs):
    import math

    from PIL import Image
    from torchvision.transforms import InterpolationMode, RandAugment, functional
    from torchvision.transforms.autoaugment import _apply_op

    from data_loading.bench.peers import albumentations as theirs

    image = np.ascontiguousarray(StoredImages(photographs).by_simplejpeg(0)[:224, :224])
    # Levels of 255, mean: one of rounding, but for other formulas of levels and another filter of 3 x 3 pixels.
    limits = {"AutoContrast": 3, "Equalize": 12, "Sharpness": 3}
    for name, (values, signed) in RandAugment()._augmentation_space(31, (224, 224)).items():
        value = (sign if signed else 1) * (values[9].item() if values.ndim else 0.0)
        if name.startswith("Shear"):  # about the centre, where RandAugment shears about the corner
            angles = [math.degrees(math.atan(value)) * (name[-1] == axis) for axis in "XY"]
            other = functional.affine(Image.fromarray(image), 0.0, [0, 0], 1.0, angles)
        else:
            other = _apply_op(Image.fromarray(image), name, value, InterpolationMode.NEAREST, None)
        made = theirs.composed([theirs._op(name, value, 1.0)])(image)
        apart = np.abs(made.astype(int) - np.asarray(other)).mean()
        assert apart < limits.get(name, 1), (name, apart)


@pytest.mark.skipif(not is_installed("dali"), reason="needs DALI")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["massrl", "four_blurs"])
def test_dali_makes_every_view_of_eight(name, photographs):
    from data_loading.bench.peers import peer_class

    peer = peer_class("dali")(WORKS[name], str(photographs), batch_size=2, workers=1)
    assert list(peer.batches(range(4))) == [2, 2]
    views = [out.as_tensor().shape() for out in peer.pipeline.run()]
    assert [tuple(shape) for shape in views] == [(2, 3, 224, 224)] * 8


PEERS_HERE = [name for name in PEERS if name not in (OURS, BOUND, "ffcv", "dali") and is_installed(name)]


@pytest.mark.parametrize("name", PEERS_HERE)
@pytest.mark.filterwarnings("ignore")  # those of the peers are theirs
def test_a_peer_makes_every_view_of_every_work_that_it_can(name, photographs):
    from data_loading.bench.peers import peer_class

    kind = peer_class(name)
    for work in WORKS.values():
        if not kind.can(work):
            continue
        peer = kind(work, str(photographs), batch_size=2, workers=1)
        views = peer.loader.dataset[0]
        assert [tuple(view.shape) for view in views] == [(3, s.size, s.size) for s in work.views], work.name
        assert {view.dtype for view in views} == {getattr(torch, work.dtype)}


def test_all_decoders_of_the_peers_agree(photographs):
    images = StoredImages(photographs)
    by_pillow = np.asarray(images.pil(3))
    np.testing.assert_array_equal(images.by_simplejpeg(3), by_pillow)
    np.testing.assert_array_equal(images.by_opencv(3), by_pillow)


def test_rounds_of_two_peers_give_a_row_each(photographs):
    # rounds so long that batches made before the clock starts do not count, and an odd number, so that one may fail
    settings = timing.Settings(rounds=3, images=12, batch_size=2, seconds=0.3)
    rows = timing.measure(WORKS["eval"], str(photographs), range(12), ["torchvision", BOUND], [1], settings)
    assert [(r.peer, len(r.rates)) for r in rows] == [("torchvision", 3), (BOUND, 3)]
    assert all(r.images_per_s > 0 and r.first_batch_s > 0 for r in rows)
    assert rows[0].images_per_s < rows[1].images_per_s  # torchvision decodes too


def test_a_peer_that_fails_is_left_out_with_its_words(photographs, monkeypatch):
    def fails(*_, **__):
        raise UserError("peer torchvision: OSError: no memory; leave it out with --peers")

    monkeypatch.setattr(timing, "PeerProcess", lambda *_: type("P", (), {"ask_watched": fails, "close": lambda _: 0})())
    said = []
    settings = timing.Settings(rounds=1, batch_size=2)
    assert timing.measure(WORKS["eval"], "x", range(4), ["torchvision"], [1], settings, said.append) == []
    assert said == ["eval: peer torchvision: OSError: no memory; leave it out with --peers"]


def test_an_error_in_a_peers_process_names_the_peer_and_ends_nothing():
    process = PeerProcess(BOUND)
    try:
        with pytest.raises(UserError, match="peer decode: BetonError: nowhere.beton: there is no such file"):
            process.ask("open", 60, peer=BOUND, work="eval", file="nowhere.beton", batch_size=2, workers=1, rows=[0])
        with pytest.raises(UserError, match="peer decode: AttributeError"):
            process.ask("run", 60, rows=[0])
    finally:
        process.close()
    assert process.process.returncode == 0


def test_a_peer_that_dies_within_its_answer_has_not_answered(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nread command\nprintf '{\"images\": 3'\necho out of memory >&2\nexit 1\n")
    python.chmod(0o755)
    process = PeerProcess("ffcv", str(python))
    with pytest.raises(UserError, match="peer ffcv: its process ended: out of memory"):
        process.ask("run", 60, rows=[0])
    process.close()


@pytest.mark.parametrize("before", [False, True])
def test_a_peers_process_that_dies_is_told_with_its_last_words(tmp_path, before):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no module named ffcv >&2\nexit 1\n")
    python.chmod(0o755)
    process = PeerProcess("ffcv", str(python))
    if before:  # it is asked
        process.process.wait(10)
    with pytest.raises(UserError, match="peer ffcv: its process ended: no module named ffcv"):
        process.ask("run", 60, rows=[0])
    process.close()


@pytest.fixture
def sleeping(tmp_path):
    """An interpreter that answers nothing, nor does a process of its own, which holds its pipes."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nsleep 600 &\nsleep 600\n")
    python.chmod(0o755)
    return str(python)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_peer_that_does_not_answer_is_ended_with_its_own_processes(sleeping):
    process = PeerProcess("ffcv", sleeping)
    group = process.process.pid
    with pytest.raises(UserError, match=r"peer ffcv: no answer within 0\.5 s; it was ended; leave it out"):
        process.ask("run", 0.5, rows=[0] * 100_000)  # more than a pipe holds, which nobody reads
    process.close()
    limit = time.monotonic() + 10  # the system ends them one by one
    while running(group) and time.monotonic() < limit:
        time.sleep(0.01)
    assert not running(group)


def test_a_peer_that_hangs_is_left_out_and_the_others_are_measured(photographs, sleeping, monkeypatch):
    measured, opened = timing.PeerProcess, []

    class Watched(measured):
        def ask_watched(self, do, within, **arguments):
            opened.append(within)
            return super().ask_watched(do, 0.5 if self.name == "torchvision" else within, **arguments)

    monkeypatch.setattr(timing, "PeerProcess", Watched)
    said = []
    settings = timing.Settings(rounds=1, images=12, batch_size=2, seconds=0.01, pythons={"torchvision": sleeping})
    peers = ["torchvision", BOUND]
    rows = timing.measure(WORKS["eval"], str(photographs), range(12), peers, [1], settings, said.append)
    assert [r.peer for r in rows] == [BOUND] and min(opened) > 120
    assert said == ["eval: peer torchvision: no answer within 0.5 s; it was ended; leave it out with --peers"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_counts_the_children_too():
    child = "x = bytes([1]) * 80_000_000; print(1, flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        assert memory_mb(parent.pid) > 80
        parent.stdin.close()


def test_stages_add_up_and_the_bound_is_below_the_time_of_the_loader(photographs):
    found = stages.measure(WORKS["eval"], photographs, np.arange(12), 4)
    assert found.decode > 0 and found.render > 0 and found.wall > found.decode
    assert found.touched == pytest.approx(3 * 224 * 224 * 4 + pixels(photographs))
    assert found.bound == pytest.approx(found.decode + 1e3 * found.touched / found.bandwidth)
    said = stages.text(found)
    assert all(name in said for name in ("read", "decode", "sample", "render", "collate", "wait", "bound"))


def pixels(file) -> float:
    table = StoredImages(file).table
    return float((3 * table.height.astype(int) * table.width).mean())


def test_measuring_stages_leaves_the_loaders_pixels_as_they_are(photographs):
    work = WORKS["simclr"]
    settings = {"order": "sequential", "num_workers": 1}
    before = next(iter(Loader(photographs, 4, "simclr", **settings))).blocks[0]
    stages.measure(work, photographs, np.arange(12), 4)
    assert torch.equal(before, next(iter(Loader(photographs, 4, "simclr", **settings))).blocks[0])


def findings(**changes):
    ms = {"read": 0.01, "decode": 0.6, "sample": 0.0, "render": 0.3, "collate": 0.09, "wait": 0.0, "wall": 1.0}
    ms |= {name: changes.pop(name) for name in list(changes) if name in ms}
    found = {
        "stages": stages.Stages("simclr", **ms, touched=1e6, bandwidth=1e10),
        "cores": 2,
        "workers": 2,
        "file_bytes": 10**9,
        "stored_bytes": 1e5,
        "longest": 500,
        "raw": False,
        "memory_free": 10**10,
        "disk": 1e9,  # 10,000 images/s
        "consumer": None,
        "view_size": 224,
    }
    return doctor.Findings(**{**found, **changes})


@pytest.mark.parametrize(
    "changes, slowest",
    [
        ({}, "decode"),
        ({"decode": 0.1, "render": 0.8}, "augmentation"),
        ({"decode": 0.1, "render": 0.2, "collate": 0.69}, "copy"),
        ({"consumer": 500.0}, "consumer"),  # two workers make 2,000
        ({"consumer": 5000.0}, "decode"),
        ({"disk": 1e8, "memory_free": 10**8}, "disk"),  # 1,000 images/s, every epoch
        ({"disk": 1e8}, "decode"),  # the page cache holds the file after the first epoch
        ({"disk": None}, "decode"),
    ],
)
def test_the_lowest_rate_is_the_bottleneck(changes, slowest):
    assert doctor.bottleneck(findings(**changes)) == slowest


def test_the_doctor_says_what_to_change():
    large = " ".join(doctor.sentences(findings(longest=2000, workers=1)))
    assert "--max_resolution 448" in large and "1 of 2 cores" in large
    assert "--write_mode raw" in " ".join(doctor.sentences(findings(longest=32)))
    assert "1 worker would be enough" in " ".join(doctor.sentences(findings(consumer=500.0)))
    assert "In the first epoch" in " ".join(doctor.sentences(findings(disk=1e8)))


def test_every_file_of_a_peer_is_in_the_table():
    files = {path.stem for path in (ROOT / "data_loading/bench/peers").glob("*.py")} - {"__init__", "base"}
    assert files == {peer.module for peer in PEERS.values()}


def test_the_help_names_every_work_and_every_peer(capsys):
    from massrl.cli.main import main

    with pytest.raises(SystemExit):
        main(["data", "bench", "--help"])
    said = "".join(capsys.readouterr().out.split())  # lines are broken at hyphens too
    assert f"listof{','.join(WORKS)};" in said
    assert f"listof{','.join(PEERS)};" in said


def test_the_command_writes_its_table_and_its_chart(photographs, tmp_path, capsys):
    from massrl.cli.main import main

    words = ["--works", "eval", "--peers", "massrl,torchvision", "--rounds", "1", "--seconds", "0.01"]
    files = ["--json", str(tmp_path / "t.json"), "--chart", str(tmp_path / "t.png")]
    assert main(["data", "bench", str(photographs), *words, "--batch_size", "2", *files]) == 0
    assert "massrl is" in capsys.readouterr().out
    assert [r["peer"] for r in json.loads((tmp_path / "t.json").read_text())] == ["massrl", "torchvision"]
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--peers", "torchvison"], "no peer named 'torchvison'. Did you mean 'torchvision'"),
        (["--workers", "0"], "workers is '0'"),
        (["--rounds", "0"], "rounds is 0"),
        (["--peer_python", "ffcv=/nowhere"], "'/nowhere' cannot be executed"),
    ],
)
def test_a_wrong_setting_is_one_line(words, message, photographs, capsys):
    from massrl.cli.main import main

    assert main(["data", "bench", str(photographs), *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
