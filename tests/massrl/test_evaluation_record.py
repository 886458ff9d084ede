import hashlib
import json

import pytest
import torch

from data_loading import Reader
from data_loading.errors import CheckpointError, ConfigError, SourceError
from data_loading.sources import as_beton
from massrl.cli import knn, linear
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation.evaluate import label_free
from massrl.runs.checkpoint import Checkpoint
from massrl.runs.record import file_sha256, git, versions, write_json

KEYS = [
    *("accuracy", "untrained", "pixels", "warnings", "protocol", "source", "parameters", "selection", "optimistic"),
    *("checkpoint_sha256", "train_sha256", "test_sha256", "split"),
    *("view", "layer", "branch", "seed", "draws", "versions", "git"),
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A folder of 16 generated images in two classes, and a checkpoint of two steps on it."""
    folder = tmp_path_factory.mktemp("sample")
    images = sample_folder(folder)
    return images, sample_checkpoint(folder, images), folder


def words(sample, *more):
    images, checkpoint, folder = sample
    options = {"--checkpoint": checkpoint, "--train": images, "--test": images, "--cache_dir": folder / "cache"}
    return [*(str(word) for pair in options.items() for word in pair), "--num_workers", "1", *more]


def test_the_record_of_knn_has_every_key_and_true_hashes(sample, tmp_path, capsys):
    images, checkpoint, folder = sample
    assert knn.main(words(sample, "--k", "3", "--tau", "0.1", "--json", "out/record.json")) == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert list(record) == KEYS
    assert record["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    with Reader(as_beton(images, cache=folder / "cache")) as reader:
        assert record["train_sha256"] == record["test_sha256"] == reader.sha256()
    assert record["protocol"] == "knn v2"
    assert (record["parameters"]["k"], record["parameters"]["tau"], record["parameters"]["size"]) == (3, 0.1, 16)
    for row in ("accuracy", "untrained", "pixels"):
        assert set(record[row]) == {"mean", "std", "values"} and record[row]["values"] == [record[row]["mean"]]
    assert record["accuracy"]["std"] is None
    assert record["draws"] == 1
    out = capsys.readouterr().out
    assert f"{100 * record['accuracy']['mean']:.1f}" in out
    assert all(row in out for row in ("SimCLR, trained", "raw pixels", "untrained network"))


def test_the_record_of_linear_tells_labels_draws_and_deviation(sample, tmp_path):
    assert linear.main(words(sample, "--labels", "one", "--draws", "3", "--seed", "5", "--json", "r.json")) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert list(record) == KEYS
    assert (record["draws"], record["seed"], record["parameters"]["labels"]) == (3, 5, "one")
    assert record["accuracy"]["std"] is not None and len(record["pixels"]["values"]) == 3
    # 16 images, the same for train and test: each of the 3 accuracies is a number of 16ths
    assert (record["accuracy"]["mean"] * 48) == pytest.approx(round(record["accuracy"]["mean"] * 48))


def test_a_second_run_takes_features_from_the_cache_and_finds_the_same(sample, tmp_path):
    records = []
    for _ in range(2):
        linear.main(words(sample, "--json", "r.json"))
        records.append(json.loads((tmp_path / "r.json").read_text()))
    assert records[0] == records[1]
    assert list((sample[2] / "cache").glob("*/features.npz"))


def test_c_sets_both_strengths(sample, tmp_path):
    linear.main(words(sample, "--C", "0.5", "--json", "r.json"))
    parameters = json.loads((tmp_path / "r.json").read_text())["parameters"]
    assert parameters["C"] == parameters["C_one_per_class"] == 0.5


def test_a_flat_folder_has_no_accuracy(sample, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, image in enumerate(sorted(sample[0].glob("*/*.jpg"))):
        (flat / f"{i}.jpg").write_bytes(image.read_bytes())
    with pytest.raises(SourceError, match="flat: images have no labels"):
        knn.main([*words(sample), "--test", str(flat)])


def test_folders_of_other_classes_are_refused(sample, tmp_path):
    other = tmp_path / "other"
    for name, image in zip(("bars", "rings"), sorted(sample[0].glob("*/*.jpg")), strict=False):
        (other / name).mkdir(parents=True)
        (other / name / "a.jpg").write_bytes(image.read_bytes())
    with pytest.raises(SourceError, match="discs, rings"):
        knn.main([*words(sample), "--test", str(other)])


@pytest.mark.parametrize("content", [None, b"no checkpoint", {"state_dict": {}}])
def test_what_is_no_checkpoint_of_ours_is_refused_by_name(sample, tmp_path, content):
    path = tmp_path / "a.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"a\.ckpt: "):
        linear.main([*words(sample), "--checkpoint", str(path)])


def test_missing_options_are_named():
    with pytest.raises(ConfigError, match="missing: --checkpoint, --test"):
        knn.main(["--train", "x"])


def test_wrong_labels_are_refused_before_the_work():
    with pytest.raises(ConfigError, match="labels is 'two'"):
        linear.main(["--labels", "two"])


def test_a_checkpoint_says_size_mean_std_and_views(sample):
    found = Checkpoint.read(sample[1]).data()
    assert found["size"] == 16
    assert len(found["mean"]) == len(found["std"]) == 3
    assert "strategies" in found["view_set"]
    assert Checkpoint.read(sample[1]).data(24)["size"] == 24


def test_a_checkpoint_that_does_not_say_needs_a_size(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="give --size"):
        Checkpoint.read(tmp_path / "a.ckpt").data()
    assert Checkpoint.read(tmp_path / "a.ckpt").data(64) == {"size": 64, "mean": None, "std": None, "view_set": None}


def test_rank_and_alignment_come_with_those_of_the_untrained_network(sample):
    from data_loading.views import view_sets

    file = as_beton(sample[0], cache=sample[2] / "cache")
    found = label_free("simclr", sample[1], file, file, view_sets.get("simclr", 16), num_workers=1).result
    for row in (found, found["untrained"]):
        assert 1 <= row["rank"] <= 16
        assert 0 <= row["alignment"] <= 4


def test_versions_git_and_hashes_are_facts(tmp_path):
    assert versions()["torch"] == torch.__version__.partition("+")[0] or versions()["torch"] == torch.__version__
    assert git() is None or len(git()["revision"]) == 40
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a").startswith("ba7816bf8f01cfea")  # FIPS 180-2, the first example


def test_json_is_written_whole(tmp_path):
    path = write_json(tmp_path / "new" / "a.json", {"a": None})
    assert json.loads(path.read_text()) == {"a": None}
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": None}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


@pytest.mark.parametrize("command", [knn, linear])
def test_check_runs_the_whole_way_and_leaves_nothing(command, tmp_path, capsys):
    assert command.main(["--check", "--checkpoint", "gone.ckpt"]) == 0
    assert "gone.ckpt is not there" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
