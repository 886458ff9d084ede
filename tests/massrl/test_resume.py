"""The same command goes on: from the newest checkpoint that is whole, as the run was begun."""

import shutil
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

import massrl
from data_loading.errors import CheckpointError, ConfigError
from killing import STEPS, kept, logged, train
from massrl.backbones import build
from massrl.callbacks import OnlineKNN
from massrl.cli.samples import sample_folder
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.checkpoint_files import LAST, NEXT, PREVIOUS, WholeCheckpoints, _Stream, damage, promote
from massrl.training import process_state
from massrl.training.resume import compare, differences


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sample_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def one_epoch(images, tmp_path_factory):
    run = tmp_path_factory.mktemp("begun") / "run"
    train(images, run, max_epochs=1)
    return run


@pytest.fixture
def begun(one_epoch, tmp_path):
    return shutil.copytree(one_epoch, tmp_path / "run")


# ---- which checkpoint


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm", [flipped, lambda path: path.write_bytes(path.read_bytes()[:1000]), lambda p: p.unlink()]
)
def test_where_the_newest_checkpoint_is_damaged_the_one_before_is_used_and_that_is_said(images, begun, harm, caplog):
    harm(begun / LAST)
    assert find(begun) == begun / PREVIOUS and Checkpoint.read(begun).steps == 3
    said = caplog.text
    assert not (begun / LAST).exists() or ("the checkpoint before it is used" in said and str(begun / LAST) in said)
    train(images, begun, max_epochs=3)
    assert kept(begun)["global_step"] == STEPS and len(logged(begun)) == STEPS


def test_two_damaged_checkpoints_are_one_line(begun):
    flipped(begun / LAST)
    (begun / PREVIOUS).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"last.ckpt: damaged: its part .* is not what was written; .*previous"):
        find(begun)


def test_every_checkpoint_has_its_checksums_and_a_changed_bit_is_found(begun):
    assert not damage(begun / LAST) and not damage(begun / PREVIOUS)
    flipped(begun / LAST)
    assert "is not what was written" in damage(begun / LAST)
    assert "cannot be read" in damage(begun / "none.ckpt")


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before_and_nothing_else(tmp_path, monkeypatch):
    files = WholeCheckpoints()
    path = tmp_path / "last.ckpt"
    files.save_checkpoint({"step": 1}, path)
    before = path.read_bytes()

    def full(self, part):
        self.error = OSError(28, "No space left on device")
        raise self.error

    monkeypatch.setattr("massrl.runs.checkpoint_files._Stream.write", full)
    with pytest.raises(ConfigError.__mro__[1], match="last.ckpt cannot be written: No space left on device"):
        files.save_checkpoint({"step": 2}, path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_new_checkpoint_moves_the_newest_to_previous_also_without_links(tmp_path, monkeypatch):
    files = WholeCheckpoints()
    for step in range(4):
        if step == 3:
            monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
        files.save_checkpoint({"step": step}, tmp_path / NEXT)
        promote(tmp_path)
        assert kept(tmp_path) == {"step": step} and not (tmp_path / NEXT).exists()
        if step:
            assert files.load_checkpoint(tmp_path / PREVIOUS) == {"step": step - 1}


# ---- how it goes on


def test_a_run_that_ended_before_its_first_checkpoint_starts_again(images, begun, capsys):
    shutil.rmtree(begun / "checkpoints")
    with pytest.raises(ConfigError, match="has ended, and its checkpoints are gone; name another folder"):
        train(images, begun, max_epochs=1)
    (begun / "metrics.json").unlink()
    train(images, begun, max_epochs=1)
    assert "ended before its first checkpoint: it starts again" in capsys.readouterr().out
    assert [int(row["step"]) for row in logged(begun)] == [0, 1, 2, 3]


def test_a_complete_run_is_left_as_it_is(images, begun, capsys):
    before = (begun / LAST).read_bytes(), (begun / "metrics.csv").read_bytes()
    train(images, begun, max_epochs=1)
    assert "is complete: epochs done 1, steps 4" in capsys.readouterr().out
    assert before == ((begun / LAST).read_bytes(), (begun / "metrics.csv").read_bytes())


def test_settings_that_differ_are_listed_and_those_that_make_another_run_are_refused(images, begun, capsys):
    with pytest.raises(ConfigError, match=r"begun with other settings: data.batch_size is 4 there and 8 here; give"):
        train(images, begun, batch_size=8)
    with pytest.raises(
        ConfigError, match="begun with other settings: model.class_path is .*MoCoV2 there and .*SimCLR here"
    ):
        train(images, begun, method="SimCLR")
    train(images, begun, max_epochs=2, num_workers=2)
    said = capsys.readouterr().out
    assert "goes on: epochs done 1, steps 4" in said
    assert "trainer.max_epochs is 1 there and 2 here" in said and "data.num_workers is 1 there and 2 here" in said
    assert kept(begun)["global_step"] == 8


def test_never_refuses_a_folder_in_use_and_a_wrong_word_is_refused(images, begun):
    with pytest.raises(ConfigError, match="is not empty; continue it with"):
        train(images, begun, resume="never")
    with pytest.raises(ConfigError, match="resume is 'perhaps'; choose one of auto, never"):
        train(images, begun, resume="perhaps")
    with pytest.raises(ConfigError, match="save_minutes is -1; set it to 0 or more"):
        train(images, begun, save_minutes=-1, max_epochs=2)


def test_a_folder_of_something_else_is_refused(images, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is not empty; name another folder"):
        train(images, tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_the_length_that_was_fitted_to_minutes_is_kept(images, tmp_path, capsys):
    fitted = {"max_epochs": None, "minutes": 0.05}
    train(images, tmp_path / "run", **fitted)
    capsys.readouterr()
    train(images, tmp_path / "run", **fitted)
    said = capsys.readouterr().out
    assert "is complete" in said and "measuring" not in said


def test_differences_are_of_leaves_and_ignore_how_a_value_is_written():
    before = {"a": {"b": 1, "c": [1, 2]}, "old": 1, "data": {"views": {"size": 1, "x": 2}}}
    now = {"a": {"b": 2, "c": (1, 2)}, "new": 1, "data": {"views": {"size": 2, "x": 3}}}
    found = [(name, one, other) for name, one, other in differences(before, now)]
    assert found == [("a.b", 1, 2), ("data.views", {"size": 1, "x": 2}, {"size": 2, "x": 3})]


# ---- found by a reader


def test_with_a_global_batch_the_images_per_process_follow_the_number_of_processes(tmp_path):
    """As where devices are "auto", and another machine has half as many."""
    config = {"global_batch": 2048, "data": {"batch_size": 256}, "trainer": {"devices": "auto"}}
    kept = Checkpoint(tmp_path, {"massrl": {"config": config}})
    assert compare(tmp_path, kept, {**config, "data": {"batch_size": 512}}) == [
        "data.batch_size is 256 there and 512 here"
    ]
    with pytest.raises(ConfigError, match="data.batch_size is 256 there and 512 here"):
        compare(tmp_path, kept, {**config, "global_batch": None, "data": {"batch_size": 512}})


@pytest.mark.parametrize("first_steps", [4, 6], ids=["an epoch", "an epoch and a half"])
def test_a_run_of_a_number_of_steps_goes_on_with_its_own_batches(images, tmp_path, first_steps):
    class Rows(pl.Callback):
        def __init__(self):
            self.rows = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.rows.append(batch.index.tolist())

    length = {"max_epochs": -1, "max_steps": 10}
    never, first, second = Rows(), Rows(), Rows()
    train(images, tmp_path / "never", never, **length)
    train(images, tmp_path / "run", first, **{**length, "max_steps": first_steps})
    train(images, tmp_path / "run", second, **length)
    assert first.rows + second.rows == never.rows and len(never.rows) == 10
    assert [row["step"] for row in logged(tmp_path / "run")] == [str(i) for i in range(10)]


def test_a_checkpoint_of_another_run_does_not_open_a_folder_in_use(images, begun, tmp_path):
    other = tmp_path / "other"
    train(images, other, max_epochs=1)
    with pytest.raises(ConfigError, match="is not empty"):
        train(images, other, ckpt_path=begun, max_epochs=2)


def test_a_folder_with_a_config_of_ones_own_is_no_run(images, tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "config.yaml").write_text("data: {size: 16}\n")
    with pytest.raises(ConfigError, match="is not empty"):
        train(images, tmp_path / "exp")
    assert (tmp_path / "exp" / "config.yaml").read_text() == "data: {size: 16}\n"


def test_what_a_kill_leaves_of_a_file_is_no_reason_to_refuse_a_folder(images, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for name in (".environment.json.host.1234.tmp", ".nfs0001", "checkpoints/.next.ckpt.host.1234.tmp"):
        (run / name).touch()
    train(images, run, max_epochs=1)
    assert not list(run.rglob("*.tmp"))


def test_a_run_goes_on_without_the_file_of_weights_from_which_it_began(images, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(build("tiny_resnet", width=4).state_dict(), weights)
    same = {"out": tmp_path / "run", "size": 16, "batch_size": 4, "num_workers": 1, "accelerator": "cpu"}
    same |= {"report": False, "export": False, "enable_progress_bar": False, "cache_dir": str(tmp_path / "cache")}
    same |= {"backbone": "tiny_resnet", "backbone_args": {"width": 4, "weights": str(weights)}}
    massrl.pretrain(images, "SimCLR", max_epochs=1, **same)
    weights.unlink()
    massrl.pretrain(images, "SimCLR", max_epochs=2, **same)
    assert kept(tmp_path / "run")["global_step"] == 8


def test_a_run_that_ended_early_is_complete_until_it_is_given_more(images, tmp_path, capsys):
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step == 2

    train(images, tmp_path / "run", Stop())
    assert kept(tmp_path / "run")["global_step"] == 2
    train(images, tmp_path / "run")
    assert "is complete: epochs done 0, steps 2" in capsys.readouterr().out
    train(images, tmp_path / "run", max_epochs=4)
    assert "goes on" in capsys.readouterr().out and kept(tmp_path / "run")["global_step"] == 16


def test_a_run_that_is_stopped_within_an_accumulation_ends_with_a_whole_step(images, tmp_path):
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            trainer.should_stop = batch_idx == 0

    train(images, tmp_path / "run", Stop(), accumulate_grad_batches=2)
    assert kept(tmp_path / "run")["global_step"] == 1 and Checkpoint.read(tmp_path / "run").epochs == 0
    state = kept(tmp_path / "run")["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]
    assert (state["epoch"], state["batch"]) == (0, 2)


def test_a_run_folder_within_a_file_is_one_line(images, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made: (Not a directory|File exists)"):
        train(images, tmp_path / "file" / "run")


def test_a_trial_of_one_step_leaves_no_checkpoint(images, tmp_path):
    train(images, tmp_path / "run", fast_dev_run=True, max_epochs=None)
    assert not (tmp_path / "run" / LAST).exists()


def test_a_second_ctrl_c_in_the_middle_of_writing_a_checkpoint_is_ctrl_c(tmp_path):
    class Interrupted:
        def write(self, part):
            raise KeyboardInterrupt

    stream = _Stream(Interrupted())
    with pytest.raises((RuntimeError, KeyboardInterrupt)):  # torch has its own word for an error after some bytes
        torch.save({"a": torch.zeros(9)}, stream)
    assert isinstance(stream.error, KeyboardInterrupt)


def test_states_of_callbacks_are_kept_on_the_cpu_and_given_back_on_the_device():
    ring = OnlineKNN(bank_size=4, k=1)
    ring.insert(torch.ones(2, 3), torch.zeros(2, dtype=torch.long), torch.arange(2))
    ring.hits.append(torch.tensor(0.5))
    fake = SimpleNamespace(
        callbacks=[ring], world_size=1, global_rank=0, is_global_zero=True, strategy=SimpleNamespace(root_device="meta")
    )
    states = process_state.gathered(fake)
    ring.on_fit_start()
    process_state.restore(fake, states)
    tensors = [ring.features, ring.labels, ring.index, *ring.hits]
    assert len(tensors) == 4 and all(x.device.type == "meta" for x in tensors)
