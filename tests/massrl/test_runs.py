"""The run folder's parts: the file of metrics, and what makes a checkpoint fit."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from data_loading.errors import CheckpointError, ConfigError, UserError
from drawn import small
from massrl.cli import quickstart
from massrl.runs.checkpoint import Checkpoint
from massrl.runs.folder import check_free, read_csv
from massrl.runs.record import environment
from massrl.training import pretrain
from massrl.training.metrics import Metrics


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_metric_that_starts_late_gets_a_column_and_earlier_rows_stay(tmp_path):
    metrics = Metrics(tmp_path / "metrics.csv")
    metrics.log_metrics({"epoch": 0, "loss": 2.0}, step=4)
    metrics.log_metrics({"epoch": 0, "loss": 1.5, "knn": 0.25}, step=9)
    assert rows(metrics.path) == [
        {"epoch": "0", "step": "4", "loss": "2.0", "knn": ""},
        {"epoch": "0", "step": "9", "loss": "1.5", "knn": "0.25"},
    ]
    assert metrics.last == {"epoch": 0, "step": 9, "loss": 1.5, "knn": 0.25}


def test_a_continued_run_keeps_the_rows_of_the_steps_that_its_checkpoint_has(tmp_path):
    first = Metrics(tmp_path / "metrics.csv")
    for step in (4, 9, 14):
        first.log_metrics({"loss": float(step)}, step=step)
    second = Metrics(first.path)
    second.resume(10)  # ten steps are done: 0 to 9
    second.log_metrics({"loss": 0.0}, step=14)
    assert [(row["step"], row["loss"]) for row in rows(first.path)] == [("4", "4.0"), ("9", "9.0"), ("14", "0.0")]


@pytest.mark.parametrize("tail", ["2,", "2,1.5", "14,0,1,2", "14,0,\0\xff\n", "x,0,1\n"])
def test_rows_that_are_torn_or_damaged_are_left_out_of_a_continued_log_and_that_is_said(tmp_path, tail, caplog):
    first = Metrics(tmp_path / "metrics.csv")
    for step in (4, 9):
        first.log_metrics({"loss": float(step)}, step=step)
    with first.path.open("ab") as file:
        file.write(tail.encode("latin-1"))
    second = Metrics(first.path)
    second.resume(100)
    second.log_metrics({"loss": 0.0}, step=14)
    assert [(row["step"], row["loss"]) for row in rows(first.path)] == [("4", "4.0"), ("9", "9.0"), ("14", "0.0")]
    assert "1 rows that are torn or damaged are left out" in caplog.text


def test_a_log_of_something_else_is_left_out_as_a_whole(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(bytes(range(256)) * 3)
    metrics = Metrics(path)
    metrics.resume(100)
    metrics.log_metrics({"loss": 1.0}, step=0)
    assert rows(path) == [{"epoch": "0", "step": "0", "loss": "1.0"}]


def test_the_log_of_a_run_that_ended_before_its_first_row_has_no_columns(tmp_path):
    Metrics(tmp_path / "metrics.csv").resume(0)
    assert (tmp_path / "metrics.csv").read_text() == "" and read_csv(tmp_path / "metrics.csv") == {}


def test_a_full_disk_while_a_row_is_written_is_one_line(tmp_path):
    metrics = Metrics(Path("/dev/full"))
    metrics.columns = ["epoch", "step", "loss"]
    with pytest.raises(UserError, match="/dev/full cannot be written: No space left on device; the run ends"):
        metrics.log_metrics({"loss": 1.0}, step=0)


def test_a_folder_in_use_may_only_be_continued_from_its_own_checkpoint(tmp_path):
    run = tmp_path / "run"
    check_free(run, None)
    run.mkdir()
    check_free(run, None)  # empty
    (run / "config.yaml").touch()
    check_free(run, run / "checkpoints" / "last.ckpt")
    for other in (None, tmp_path / "other" / "checkpoints" / "last.ckpt"):
        with pytest.raises(ConfigError, match="is not empty"):
            check_free(run, other)
    with pytest.raises(ConfigError, match="is a file"):
        check_free(run / "config.yaml", None)


def saved(path: Path, method, **changes) -> Path:
    content = {
        "state_dict": method.state_dict(),
        "loops": {},
        "optimizer_states": [],
        "hyper_parameters": {"method": type(method).__name__, "init_args": {}},
    }
    torch.save({**content, **changes}, path)
    return path


def continued(path: Path, method) -> None:
    Checkpoint.read(path).check_continues(method)


def test_a_checkpoint_is_refused_in_one_sentence_where_it_does_not_fit(tmp_path):
    method = small("SimCLR")
    continued(saved(tmp_path / "a.ckpt", method), method)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        continued(tmp_path / "none.ckpt", method)
    with pytest.raises(CheckpointError, match="a checkpoint of SimCLR, not of BYOL; give --model SimCLR"):
        continued(tmp_path / "a.ckpt", small("BYOL"))
    with pytest.raises(CheckpointError, match=r"is \(8, 3, 3, 3\) here|and \(8, 3, 3, 3\) here"):
        continued(tmp_path / "a.ckpt", small("SimCLR", backbone_args={"width": 8}))
    with pytest.raises(CheckpointError, match="cannot be continued"):
        continued(saved(tmp_path / "b.ckpt", method, hyper_parameters={}), method)
    without = torch.load(tmp_path / "a.ckpt", weights_only=True)
    del without["optimizer_states"]
    torch.save(without, tmp_path / "weights.ckpt")
    with pytest.raises(CheckpointError, match="holds no state of its optimiser"):
        continued(tmp_path / "weights.ckpt", method)
    half = tmp_path / "half.ckpt"
    half.write_bytes((tmp_path / "a.ckpt").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cut short"):
        continued(half, method)


def test_the_environment_says_with_what_a_run_was_started():
    found = environment("massrl pretrain --data.train 'my images'")
    assert found["command"] == "massrl pretrain --data.train 'my images'"
    assert found["versions"]["torch"] and found["cores"] >= 1 and found["started"].endswith("+00:00")


@pytest.mark.parametrize("letter", ["x", "ä", "字"])
def test_a_data_folder_with_a_long_name_gives_a_run_folder_that_can_be_made(tmp_path, letter):
    """A name of a file may have 255 bytes, and a letter four of them."""
    name = letter * (255 // len(letter.encode()))
    (tmp_path / name).mkdir()
    run = next(pretrain._default_folders(small("MoCoV2Plus"), SimpleNamespace(train=str(tmp_path / name))))
    run.mkdir(parents=True)
    assert run.name.startswith(f"mocov2plus-{letter * 48}-2")
    assert quickstart._name(str(tmp_path / name)) == letter * 48
