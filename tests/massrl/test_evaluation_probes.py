"""The protocols of `massrl linear` and `massrl knn` on a checkpoint: options, layers, records, and what is refused."""

import json

import numpy as np
import pytest

import massrl
from data_loading.errors import ConfigError, UnknownName
from massrl.cli import knn, linear
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation import probes
from massrl.evaluation.features import Features
from massrl.evaluation.heads import LinearHeads
from massrl.evaluation.linear import Linear
from massrl.evaluation.logreg import LogisticRegression
from massrl.evaluation.protocol import protocols
from massrl.methods import METHODS


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A folder of 16 generated images in two classes, and a checkpoint of two steps on it."""
    folder = tmp_path_factory.mktemp("sample")
    images = sample_folder(folder)
    return images, sample_checkpoint(folder, images), folder


def given(sample):
    images, checkpoint, folder = sample
    return {"checkpoint": checkpoint, "train": images, "test": images, "cache_dir": folder / "cache", "num_workers": 1}


def words(sample, *more):
    return [*(str(word) for name, value in given(sample).items() for word in (f"--{name}", value)), *more]


def layers(n=60, classes=3, seed=0, names=("last1:cls",), sure=1.0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return {
        name: Features((np.eye(classes)[y] + sure * draw.normal(size=(n, classes))).astype(np.float32), y, np.arange(n))
        for name in names
    }


# ---- options


@pytest.mark.parametrize(
    ("table", "name", "options", "error", "line"),
    [
        (
            probes.LINEAR,
            "dinov2_linear",
            {},
            UnknownName,
            r"here. Did you mean 'dinov2-linear'",
        ),
        (probes.LINEAR, "knn", {}, UnknownName, "Known: linear, dinov2-logreg, dinov2-linear"),
        (
            probes.LINEAR,
            "linear",
            {"select": "test"},
            ConfigError,
            "select is no setting of the protocol linear",
        ),
        (probes.LINEAR, "dinov2-linear", {"C": 1.0}, ConfigError, "C is no setting of the protocol dinov2-linear"),
        (
            probes.LINEAR,
            "dinov2-logreg",
            {"select": "val"},
            ConfigError,
            "selection is 'val'; dinov2-logreg",
        ),
        (probes.KNN_PROTOCOLS, "knn", {"k": [1, 5]}, ConfigError, r"k is \[1, 5\]; it must be an integer"),
        (probes.KNN_PROTOCOLS, "knn-centred", {"distance": "cosine"}, ConfigError, "distance is no setting of"),
        (probes.KNN_PROTOCOLS, "knn-grid", {"k": ()}, ConfigError, "the grid has no k"),
    ],
)
def test_an_option_that_does_not_fit_the_protocol_is_refused(table, name, options, error, line):
    with pytest.raises(error, match=line):
        probes.make(table, name, 0, **options)


def test_options_reach_the_protocol_and_none_is_its_default():
    assert probes.make(probes.LINEAR, "linear", 0, C=2.0, select=None).protocol == Linear(C=2.0, C_one_per_class=2.0)
    heads = probes.make(probes.LINEAR, "dinov2-linear", 7, iterations=50, select="test").protocol
    assert heads == LinearHeads(iterations=50, selection="test", seed=7)
    assert probes.make(probes.LINEAR, "dinov2-logreg", 7).protocol == LogisticRegression(seed=7)
    grid = probes.make(probes.KNN_PROTOCOLS, "knn-grid", 7, k=5, distance=["euclidean"]).protocol
    assert (grid.k, grid.distance, grid.seed, grid.selection) == ((5,), ("euclidean",), 7, "held-out")


def test_every_protocol_of_the_two_commands_is_listed():
    assert {*probes.LINEAR, *probes.KNN_PROTOCOLS} <= set(protocols())


# ---- layers and subsets


def test_a_vit_has_dinov2s_four_feature_sets_and_a_resnet_its_stages():
    vit = METHODS["DINO"](backbone="vit_tiny_patch16_224", backbone_args={"img_size": 32, "patch_size": 8})
    assert probes.layers_of(vit) == ["last1:cls", "last1:avg", "last4:cls"]
    assert list(probes.feature_sets(probes.layers_of(vit)).values()) == [
        ["last1:cls"],
        ["last1:cls", "last1:avg"],
        ["last4:cls"],
        ["last4:cls", "last1:avg"],
    ]
    resnet = METHODS["SimCLR"](backbone="resnet18")
    assert probes.layers_of(resnet) == ["last1:avg", "last4:avg"]
    assert probes.feature_sets(["last1:avg", "last4:avg"]) == {"last1:avg": ["last1:avg"], "last4:avg": ["last4:avg"]}


@pytest.mark.parametrize("name", ["dinov2-logreg", "dinov2-linear"])
def test_a_probe_scores_each_label_subset_by_itself(name):
    options = {"iterations": 20} if name == "dinov2-linear" else {}
    probe = probes.make(probes.LINEAR, name, 0, **options)
    train, test = layers(sure=2.0), layers(sure=2.0, seed=1)
    halves = [np.arange(0, 30), np.arange(30, 60)]
    together = probe.score(train, test, halves)
    alone = [probe.score({k: f[rows] for k, f in train.items()}, test, [np.arange(30)])[0] for rows in halves]
    assert together == alone and together[0] != together[1]


# ---- on a checkpoint


@pytest.mark.parametrize("name", ["dinov2-linear", "dinov2-logreg"])
def test_the_record_of_a_choice_says_what_was_chosen_by_which_accuracies(sample, name, tmp_path, capsys):
    more = ["--iterations", "20"] if name == "dinov2-linear" else []
    assert linear.main(words(sample, "--protocol", name, "--json", "r.json", *more)) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert (
        record["protocol"] == f"{name} v1" and record["selection"] == "chosen on a held-out part of the training images"
    )
    assert record["optimistic"] is False
    assert set(record["chosen"]) == {"trained", "pixels", "random"}
    (setting,), (tried,) = record["chosen"]["trained"], record["tried"]["trained"]
    assert list(setting) == (["features", "rate"] if name == "dinov2-linear" else ["C"])
    assert all(0 <= score <= 1 for score in tried.values())
    sets = 2 if name == "dinov2-linear" else 1  # the tiny ResNet has stages
    assert len(tried) == (13 * sets if name == "dinov2-linear" else 45)
    out = capsys.readouterr().out
    assert "chosen" in out and "optimistic" not in out
    if name == "dinov2-linear":
        assert record["layer"] == ", ".join(probes.layers_of(massrl.load(sample[1])))


def test_a_vit_is_measured_by_heads_of_four_feature_sets(sample, tmp_path):
    network = {"backbone": "timm:vit_tiny_patch16_224", "img_size": 16, "patch_size": 8}
    checkpoint = sample_checkpoint(tmp_path, sample[0], **network)
    found = massrl.linear(**{**given(sample), "checkpoint": checkpoint}, protocol="dinov2-linear", iterations=5)
    for row in ("trained", "random"):
        assert len(found.chosen[row][0].tried) == 52
        assert {name: pair[0].x.shape[1] for name, pair in found.rows.sets[row].items()} == {
            "last1:cls": 192,
            "last1:avg": 192,
            "last4:cls": 768,
        }
    assert len(found.chosen["pixels"][0].tried) == 13


def test_weight_decays_are_tried_with_each_rate(sample, tmp_path):
    argv = words(sample, "--protocol", "dinov2-linear", "--iterations", "5", "--weight_decays", "[0, 1e-4]")
    assert linear.main([*argv, "--json", "r.json"]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    tried = record["tried"]["trained"][0]
    assert record["parameters"]["weight_decays"] == [0, 1e-4]
    assert sum("weight decay 0.0001" in one for one in tried) == len(tried) / 2 == 26


def test_a_choice_on_test_says_optimistic_in_table_record_and_page(sample):
    found = massrl.linear(**given(sample), protocol="dinov2-logreg", select="test")
    assert "optimistic: chosen on the test images" in repr(found)
    assert "optimistic: chosen on the test images" in found._repr_html_()
    assert found.to_dict()["optimistic"] is True
    assert found.accuracy == max(found.chosen["trained"][0].tried.values())


def test_several_values_are_a_grid(sample, tmp_path):
    assert knn.main(words(sample, "--k", "1,3,5", "--tau", "0.07,0.5", "--json", "r.json")) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["protocol"] == "knn-grid v1" and len(record["tried"]["trained"][0]) == 6
    dino = massrl.knn(**given(sample), k=(1, 2, 5), select="test")  # the rest as knn
    assert list(dino.chosen["trained"][0].tried) == [f"k {k}, tau 0.07, cosine" for k in (1, 2, 5)]
    assert len(massrl.knn(**given(sample), protocol="knn-grid", k=1).chosen["pixels"][0].tried) == 8 + 1
    one = massrl.knn(**given(sample), k=3)
    assert one.protocol.title == "knn v2" and one.chosen == {} and "chosen" not in one.to_dict()


def test_the_centred_protocol_is_reported_as_knn_v1(sample):
    found = massrl.knn(**given(sample), k=3, protocol="knn-centred")
    assert "knn v1 (k 3, tau 0.07, centred; labels: all)" in repr(found)
    assert found.to_dict()["protocol"] == "knn v1"


def test_by_default_all_of_few_images_vote_and_a_larger_k_is_refused(sample):
    assert massrl.knn(**given(sample)).protocol.k == 20  # of 16
    with pytest.raises(ConfigError, match="k is 17, and there are 16 training images; give at most 16"):
        massrl.knn(**given(sample), k=17)
    with pytest.raises(ConfigError, match="k is 17, and there are 16 training images"):
        massrl.knn(**given(sample), k=[1, 17])


@pytest.mark.parametrize(
    ("command", "more", "line"),
    [
        (knn, ["--k", "1000000000"], "k is 1000000000, and there are 16 training images"),
        (knn, ["--k", "10**9"], r"--k is '10\*\*9'; give integers, with commas between several"),
        (knn, ["--k", "0"], "k is 0; it must be an integer from 1"),
        (knn, ["--tau", "0"], "tau is 0.0; it must be a number above 0"),
        (knn, ["--tau", "nan"], "tau is nan"),
        (knn, ["--distance", "cosin"], "no distance 'cosin'"),
        (knn, ["--protocol", "knn-center"], "Did you mean 'knn-centred'"),
        (knn, ["--select", "test"], "select is no setting of the protocol knn; it is one of knn-grid"),
        (linear, ["--protocol", "dinov2-linear", "--iterations", "0"], "iterations is 0"),
        (linear, ["--protocol", "dinov2-linear", "--layer", "backbone"], "reads layers of its own, so leave it out"),
        (linear, ["--protocol", "dinov2-logreg", "--labels", "one"], "no class has two labelled training images"),
        (linear, ["--C", "0"], "C is 0.0; it must be above 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(sample, command, more, line):
    with pytest.raises((ConfigError, UnknownName), match=line) as error:
        command.main(words(sample, *more))
    assert "\n" not in str(error.value)


def test_check_of_a_protocol_that_chooses_runs_the_whole_way(capsys, tmp_path):
    assert linear.main(["--check", "--protocol", "dinov2-linear", "--iterations", "5"]) == 0
    assert "check passed" in capsys.readouterr().out and not list(tmp_path.iterdir())
