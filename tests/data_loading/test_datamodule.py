"""BetonDataModule under Lightning's Trainer: every checkpoint resumes with the very batches that were left."""

import copy
import json
import pickle

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from betons import contents, same, write
from data_loading import Batch, BetonDataModule, Loader
from data_loading.errors import CheckpointError, ConfigError

# The resumed runs keep no checkpoints of their own.
pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return str(write(tmp_path_factory.mktemp("raw") / "raw.beton"))


class Wants:
    default_views = "simclr32"


class Records(pl.LightningModule):
    """A linear layer on the first view, trained with momentum; notes the rows of every batch it gets."""

    def __init__(self, ask_for_length=False):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3 * 8 * 8, 3)
        self.ask_for_length = ask_for_length
        self.seen, self.validated, self.tested = [], [], []
        self.pixels = []  # one number of each batch's views

    def training_step(self, batch, i):
        self.pixels.append(batch.views[0].sum())
        self.seen.append((self.current_epoch, i, tuple(batch.index.tolist())))
        return self.loss(batch)

    def loss(self, batch):
        return torch.nn.functional.cross_entropy(self.layer(batch.views[0].flatten(1)), batch.labels)

    def test_step(self, batch, i):
        self.tested += batch.index[batch.valid].tolist()

    def predict_step(self, batch, i):
        return batch.index[batch.valid]

    def configure_optimizers(self):
        if self.ask_for_length:
            assert self.trainer.estimated_stepping_batches > 0
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Hands(pl.LightningModule):
    """Hands out the batches of prediction as they are."""

    def predict_step(self, batch, i):
        return batch


class Validates(Records):
    def validation_step(self, batch, i):
        self.validated += batch.index[batch.valid].tolist()


def trainer(tmp_path, epochs=3, callbacks=(), **options):
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        callbacks=list(callbacks),
        default_root_dir=str(tmp_path),
        **options,
    )


def data(path, **options):
    return BetonDataModule(path, views="simclr", size=8, batch_size=8, num_workers=1, **options)


@pytest.mark.parametrize(
    ("ask_for_length", "options", "order"),
    [
        (False, {}, "random"),
        (True, {}, "quasi_random"),
        (False, {"accumulate_grad_batches": 2}, "random"),
        (False, {"limit_train_batches": 4}, "random"),
    ],
    ids=["plain", "estimated_stepping_batches", "accumulation", "limit_train_batches"],
)
def test_a_run_goes_on_from_any_checkpoint_as_if_it_had_never_stopped(tmp_path, raw, ask_for_length, options, order):
    every = options.get("accumulate_grad_batches", 1)
    steps = ModelCheckpoint(tmp_path, "step{step}", every_n_train_steps=1, save_top_k=-1)
    epochs = ModelCheckpoint(tmp_path, "epoch{epoch}", every_n_epochs=1, save_top_k=-1, save_on_train_epoch_end=True)
    whole = Records(ask_for_length)
    trainer(tmp_path, callbacks=[steps, epochs], **options).fit(whole, datamodule=data(raw, order=order))
    per_epoch = options.get("limit_train_batches", 6)
    assert len(whole.seen) == 3 * per_epoch
    found = sorted(tmp_path.glob("*.ckpt"))
    assert len(found) == 3 * per_epoch // every + 3
    for path in found:
        saved = torch.load(path, weights_only=True)["BetonDataModule"]
        begun = saved["epoch"] * per_epoch + min(saved["batch"], per_epoch)
        again = Records(ask_for_length)
        trainer(tmp_path, **options).fit(again, datamodule=data(raw, order=order), ckpt_path=path, weights_only=True)
        assert again.seen == whole.seen[begun:], path.name
        assert torch.equal(again.layer.weight, whole.layer.weight), path.name


class Notes(Records):
    """Writes the rows that each process saw and validated to a file of its own."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def validation_step(self, batch, i):
        self.validated += batch.index[batch.valid].tolist()

    def on_fit_end(self):
        name = f"{self.trainer.global_rank} of {self.trainer.world_size}.json"
        (self.folder / name).write_text(json.dumps({"seen": self.seen, "validated": self.validated}))


def test_two_processes_share_the_batches_of_one_and_go_on_from_their_checkpoint(tmp_path, raw):
    torch.set_num_threads(1)  # a fork after OpenMP has had two threads hangs
    two = {"strategy": "ddp_fork", "devices": 2, "num_sanity_val_steps": 0}

    def seen(folder, world, rank=0):
        found = json.loads((folder / f"{rank} of {world}.json").read_text())
        return {(epoch, i): rows for epoch, i, rows in found["seen"]}, found["validated"]

    def module(batch_size):
        return BetonDataModule(raw, val=raw, views="simclr", size=8, batch_size=batch_size, num_workers=1, seed=5)

    trainer(tmp_path, 2, num_sanity_val_steps=0).fit(Notes(tmp_path), datamodule=module(8))
    keep = ModelCheckpoint(tmp_path / "kept", "at{step}", every_n_train_steps=4, save_top_k=-1)
    trainer(tmp_path, 2, [keep], **two).fit(Notes(tmp_path), datamodule=module(4))
    (whole, validated), (a, validated_a), (b, validated_b) = (
        seen(tmp_path, *place) for place in ((1, 0), (2, 0), (2, 1))
    )
    assert len(whole) == 12 and {key: a[key] + b[key] for key in a} == whole
    assert sorted(validated_a + validated_b) == sorted(validated)
    for folder, options, batch_size in (("two", two, 4), ("one", {}, 8)):
        (tmp_path / folder).mkdir()
        trainer(tmp_path, 2, **options).fit(
            Notes(tmp_path / folder), datamodule=module(batch_size), ckpt_path=tmp_path / "kept" / "atstep=8.ckpt"
        )
    left = {key: rows for key, rows in whole.items() if key >= (1, 2)}
    (a, _), (b, _), (one, _) = seen(tmp_path / "two", 2), seen(tmp_path / "two", 2, 1), seen(tmp_path / "one", 1)
    assert {key: a[key] + b[key] for key in a} == left and one == left


def test_a_seed_that_was_drawn_comes_back_with_the_checkpoint(tmp_path, raw):
    keep = ModelCheckpoint(tmp_path, "last", every_n_train_steps=4)
    whole, again = Records(), Records()
    trainer(tmp_path, 1, [keep]).fit(whole, datamodule=data(raw, seed=None))
    trainer(tmp_path, 1).fit(again, datamodule=data(raw, seed=None), ckpt_path=tmp_path / "last.ckpt")
    assert again.seen == whole.seen[4:]


def test_a_checkpoint_of_another_file_is_refused(tmp_path, raw):
    other = write(tmp_path / "other.beton", n=49)
    module = data(str(other))
    module.load_state_dict(Loader(raw, 8, "eval", size=8).state_dict())
    with pytest.raises(CheckpointError, match="another file.*, or begin its data anew with data.resume false"):
        module.train_dataloader()
    module.resume = False
    assert len(list(module.train_dataloader())) == 6


def test_validation_test_and_predict_see_every_image_once_in_the_files_order(tmp_path, raw):
    model = Validates()
    module = data(raw, val=raw, test=raw, predict=raw)
    run = trainer(tmp_path, 2, num_sanity_val_steps=0)
    run.fit(model, datamodule=module)
    assert model.validated == 2 * list(range(50))
    run.test(model, datamodule=module, verbose=False)
    assert model.tested == list(range(50))
    assert torch.cat(run.predict(model, datamodule=module)).tolist() == list(range(50))
    assert [v.name for v in module.val_dataloader().view_set.views] == ["whole.0"]


def test_each_batch_of_prediction_is_a_batch_whose_index_is_the_row_of_the_file(raw):
    module = data(raw, predict=raw)
    batches = trainer("").predict(Hands(), datamodule=module)
    assert len(batches) == 7 and all(isinstance(batch, Batch) for batch in batches)
    rows = torch.cat([batch.index[batch.valid] for batch in batches]).tolist()
    assert rows == list(range(50))
    for batch in batches:
        for view, row, label in zip(batch.views[0], batch.index.tolist(), batch.labels.tolist(), strict=True):
            whole = next(iter(Loader(raw, 1, batch.view_set, indices=[row], num_workers=0)))
            assert torch.equal(view, whole.views[0][0]) and label == whole.labels.item() == row % 3


@pytest.mark.parametrize("batches", [1, 3, 1.0])
def test_overfit_batches_takes_the_same_rows_in_each_epoch_with_other_views(tmp_path, raw, batches):
    model = Validates()
    trainer(tmp_path, 3, overfit_batches=batches, num_sanity_val_steps=0).fit(model, datamodule=data(raw, val=raw))
    n = 6 if batches == 1.0 and isinstance(batches, float) else batches
    rows = [tuple(range(8 * i, 8 * i + 8)) for i in range(n)]
    assert model.seen == [(epoch, i, rows[i]) for epoch in range(3) for i in range(n)]
    assert len({first.item() for first in model.pixels[::n]}) == 3


def test_a_data_module_without_workers_trains_as_one_with_threads(tmp_path, raw):
    models = [Records(), Records()]
    for model, n in zip(models, (0, 2), strict=True):
        module = BetonDataModule(raw, views="simclr", size=8, batch_size=8, num_workers=n)
        trainer(tmp_path, 2).fit(model, datamodule=module)
    assert models[0].seen == models[1].seen and torch.equal(models[0].layer.weight, models[1].layer.weight)


def test_a_data_module_is_printed_with_its_files(raw):
    assert str(data("a.beton", val="b.beton")) == "BetonDataModule(train='a.beton', val='b.beton')"


def test_validation_is_asked_for_only_where_there_is_a_file_for_it(tmp_path, raw):
    with pytest.raises(ConfigError, match="data.val is not set; give it .beton files"):
        trainer(tmp_path).validate(Validates(), datamodule=data(raw), verbose=False)
    with pytest.warns(UserWarning, match="no `validation_step`"):
        trainer(tmp_path, 1).fit(Records(), datamodule=data(raw, val=raw))
    trainer(tmp_path, 1).fit(Records(), datamodule=data(raw))  # a warning would be an error


def test_resume_false_ignores_the_position_that_lightning_has_kept_for_the_loader(tmp_path, raw):
    keep = ModelCheckpoint(tmp_path, "at{step}", every_n_train_steps=2, save_top_k=-1)
    trainer(tmp_path, 1, [keep]).fit(Records(), datamodule=data(raw))
    other = write(tmp_path / "other.beton", n=49)
    again = Records()
    module = data(str(other), resume=False)
    trainer(tmp_path, 2).fit(again, datamodule=module, ckpt_path=tmp_path / "atstep=2.ckpt")
    whole = [tuple(batch.index.tolist()) for batch in Loader(other, 8, "simclr", size=8)]
    assert [rows for epoch, _, rows in again.seen if epoch == 0] == whole[: len(again.seen) - 6]


def test_a_split_that_is_not_set_is_refused_in_a_sentence(raw):
    with pytest.raises(ConfigError, match="data.test is not set"):
        data(raw).test_dataloader()
    with pytest.raises(ConfigError, match="data.val is an empty list; name at least one"):
        data(raw, val=[])


def test_the_data_module_takes_the_methods_default_views_and_its_own_before_them(raw):
    assert [v.name for v in BetonDataModule(raw).resolve(Wants()).views] == ["simclr32.0", "simclr32.1"]
    assert len(BetonDataModule(raw, views="massrl", size=16).resolve(Wants())) == 8
    with pytest.raises(ConfigError, match="data.views is not set"):
        BetonDataModule(raw).resolve()


def test_the_data_module_draws_the_same_batches_as_a_loader(raw):
    module = BetonDataModule(raw, views="simclr32", batch_size=8, seed=3)
    assert same(contents(module.train_dataloader()), contents(Loader(raw, 8, "simclr32", seed=3)))


def test_a_data_module_that_is_in_use_can_be_copied_and_sent_to_another_process(raw):
    module = data(raw)
    next(iter(module.train_dataloader()))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert len(other.train_dataloader()) == 6
