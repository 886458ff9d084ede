"""Probes, health and validation measure a training and never touch it: losses are equal to the bit without them."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import massrl
from betons import write
from data_loading import BetonDataModule, Loader
from drawn import CLASSES, Drawn, same_state, small, trainer
from massrl import backbones
from massrl.callbacks import Health, OnlineKNN, OnlineLinear, Throughput

VIT = {
    "backbone": "timm:vit_tiny_patch16_224",
    "backbone_args": {"img_size": 8, "patch_size": 4, "depth": 2, "embed_dim": 24, "drop_path_rate": 0.3},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """48 images to train on and 22 to validate on, in three classes."""
    folder = tmp_path_factory.mktemp("files")
    return {name: str(write(folder / f"{name}.beton", n=n)) for name, n in (("train", 48), ("val", 22))}


def data(files, **args) -> BetonDataModule:
    return BetonDataModule(**{**files, "size": 8, "batch_size": 8, "num_workers": 1, **args})


class Dropping(nn.Module):
    """The tiny ResNet with dropout on its features."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.drop = backbones.build("tiny_resnet", width=4), nn.Dropout(0.5)
        self.num_features = self.body.num_features

    def forward(self, x):
        return self.drop(self.body(x))


METHODS = {
    "SimCLR, dropout": lambda: small("SimCLR", backbone=Dropping(), backbone_args=None),
    "BYOL, dropout": lambda: small("BYOL", backbone=Dropping(), backbone_args=None),
    "MoCoV2, queue, dropout": lambda: small("MoCoV2", backbone=Dropping(), backbone_args=None),
    "SwAV, queue": lambda: small("SwAV", queue_from_epoch=0),
    "NNCLR, queue": lambda: small("NNCLR"),
    "MASSRL": lambda: small("MASSRL"),
    "DINO, drop path": lambda: small("DINO", **VIT),
}


class Recorder(pl.Callback):
    """The loss of every step, and a random number after it; checkpoints in the middle of the second epoch."""

    def __init__(self, folder):
        self.folder, self.losses, self.random = folder, [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())
        self.random.append(torch.random.get_rng_state().sum().item())
        if trainer.global_step == 9:
            trainer.save_checkpoint(self.folder / "middle.ckpt", weights_only=False)

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.folder / "end.ckpt", weights_only=False)


def watched() -> list[pl.Callback]:
    return [Throughput(), OnlineKNN(k=5), OnlineLinear(), Health(every_n_steps=1)]


def training(make, files, folder, everything: bool, start: str | None = None):
    """The method, what was recorded and what was logged, of 3 epochs of 6 steps, or of the rest after a checkpoint."""
    folder.mkdir(exist_ok=True)
    method, recorder = make(), Recorder(folder)
    torch.manual_seed(1)
    extra = (
        {"callbacks": [*watched(), recorder], "val_check_interval": 0.5} if everything else {"callbacks": [recorder]}
    )
    run = trainer(3, **extra)
    views = (
        {"views": "byol"} if method.default_views == "dino_multicrop" else {}
    )  # no local views for a ViT of 8 pixels
    where = data(files, **views) if everything else data(files, val=None, **views)
    ckpt = {"ckpt_path": folder / start, "weights_only": False} if start else {}
    run.fit(method, where, **ckpt)
    return method, recorder, run.callback_metrics


@pytest.mark.parametrize("name", METHODS)
def test_losses_and_random_numbers_are_equal_to_the_bit_with_everything_on_and_off(name, files, tmp_path):
    make = METHODS[name]
    for start, steps in ((None, 18), ("end.ckpt", 12), ("middle.ckpt", 9)):
        on, seen, logged = training(make, files, tmp_path / "on", True, start)
        off, plain, _ = training(make, files, tmp_path / "off", False, start)
        assert {"knn", "linear", "h_rank", "z_rank", "val_loss", "val_knn", "val_linear"} <= logged.keys()
        assert len(seen.losses) == steps and seen.losses == plain.losses
        assert seen.random == plain.random and same_state(on, off)


def test_the_bits_are_compared_by_something_that_sees_a_random_number(files, tmp_path):
    class Thief(Health):
        def on_train_batch_end(self, *args):
            torch.rand(())

    make = METHODS["SimCLR, dropout"]
    _, plain, _ = training(make, files, tmp_path / "off", False)
    method, recorder = make(), Recorder(tmp_path / "off")
    torch.manual_seed(1)
    trainer(3, callbacks=[Thief(), recorder]).fit(method, data(files, val=None))
    assert recorder.losses != plain.losses and recorder.losses[0] == plain.losses[0]


# ---- val_linear


class Probe(pl.Callback):
    """A copy of the probe's state at each validation."""

    def on_validation_epoch_start(self, trainer, pl_module):
        (linear,) = (one for one in trainer.callbacks if isinstance(one, OnlineLinear))
        self.state = {key: x.clone() for key, x in linear.probe.state_dict().items()} if linear.probe else None


def test_val_linear_is_the_probes_accuracy_on_images_without_augmentation(files):
    probe, kept = OnlineLinear(lr=0.05), Probe()
    method = small("SimCLR")
    run = trainer(2, callbacks=[probe, kept], num_sanity_val_steps=0)
    run.fit(method, data(files))
    method.eval()
    batches = list(Loader(files["val"], 8, "eval", size=8, num_workers=1, order="sequential"))
    with torch.no_grad():
        x = torch.cat([method.encoder(batch.views[0])[batch.valid] for batch in batches])
    y = torch.cat([batch.labels[batch.valid] for batch in batches])
    mean, var = kept.state["0.running_mean"], kept.state["0.running_var"]
    logits = (x - mean) / torch.sqrt(var + 1e-5) @ kept.state["1.weight"].T + kept.state["1.bias"]
    assert len(y) == 22
    assert float(run.callback_metrics["val_linear"]) == pytest.approx(float((logits.argmax(1) == y).float().mean()))
    assert all(torch.equal(probe.probe.state_dict()[key], x) for key, x in kept.state.items())


def test_the_probe_learns_what_clean_images_show():
    run = trainer(8, callbacks=[OnlineLinear(CLASSES, lr=0.05)])
    run.fit(small("SimCLR"), Drawn(2), Drawn(1, 3))
    assert run.callback_metrics["val_linear"] > 0.6  # classes differ in brightness; chance is 1/4


@pytest.mark.parametrize("stage", ["val", "test"])
def test_validate_and_test_alone_take_the_probe_of_the_checkpoint(stage, files, tmp_path, caplog):
    run = trainer(2, callbacks=[OnlineLinear()])
    run.fit(small("SimCLR"), data(files))
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    expected = float(run.callback_metrics["val_linear"])
    where = data(files, test=files["val"])

    def measure(**more):
        alone = trainer(callbacks=[OnlineLinear()])
        of = alone.validate if stage == "val" else alone.test
        return {k: v for one in of(small("SimCLR"), where, verbose=False, **more) for k, v in one.items()}

    assert measure(ckpt_path=tmp_path / "a.ckpt", weights_only=False)[f"{stage}_linear"] == pytest.approx(expected)
    with caplog.at_level("INFO"):
        assert f"{stage}_linear" not in measure()
    assert f"no {stage}_linear: no classifier" in caplog.text


def test_without_labels_on_one_side_there_is_no_val_linear_which_is_said_once(caplog):
    for train, val, words in (
        (False, True, "no classifier, as training has no labels"),
        (True, False, "have no labels"),
    ):
        caplog.clear()
        with caplog.at_level("INFO"):
            run = trainer(3, callbacks=[OnlineLinear(CLASSES)])
            run.fit(small("SimCLR"), Drawn(2, labels=train), Drawn(1, 2, labels=val))
        assert "val_linear" not in run.callback_metrics and ("val_knn" in run.callback_metrics) is val
        assert caplog.text.count("no val_linear") == 1 and words in caplog.text


def test_folders_of_other_classes_have_no_val_linear(tmp_path, caplog):
    import numpy as np
    from PIL import Image

    for part, classes in (("train", "ab"), ("val", "bc")):
        for c in classes:
            (tmp_path / part / c).mkdir(parents=True)
            for i in range(4):
                pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / c / f"{i}.png")
    where = data({part: str(tmp_path / part) for part in ("train", "val")}, batch_size=4, cache_dir=str(tmp_path / "c"))
    with caplog.at_level("INFO"):
        run = trainer(1, callbacks=[OnlineLinear()])
        run.fit(small("SimCLR"), where)
    assert "val_linear" not in run.callback_metrics
    assert "no val_linear: training and val images have other class folders: a, c in one only" in caplog.text


def test_training_images_as_validation_images_are_said_loudly(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = {"method": "SimCLR", "backbone": "tiny_resnet", "size": 8, "max_epochs": 1, "batch_size": 8}
    options |= {"hidden_dim": 16, "out_dim": 8, "num_workers": 1, "report": False, "enable_progress_bar": False}
    content = Path(files["train"]).read_bytes()
    (tmp_path / "copy.beton").write_bytes(content)
    half = len(content) // 2  # a pixel
    (tmp_path / "other.beton").write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
    cases = {files["val"]: False, "other.beton": False, "copy.beton": True, files["train"]: True}
    loud = "WARNING: data.val has the content of data.train"
    for number, (val, said) in enumerate(cases.items()):
        massrl.pretrain(files["train"], val=val, out=f"run{number}", **options)
        assert (loud in capsys.readouterr().out) == said
