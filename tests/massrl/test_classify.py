"""Classifiers trained by gradient descent: linear protocols, few labels, fine-tuning; from Python and by commands."""

import copy
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.data.mixup import mixup_target
from timm.loss import SoftTargetCrossEntropy

import massrl
from data_loading.errors import CheckpointError, ConfigError, SourceError, UserError
from drawn import CLASSES, Drawn, same_state, trainer
from massrl.cli.main import main
from massrl.cli.samples import sample_checkpoint, sample_folder
from massrl.evaluation.classify.fitting import Job, training_views
from massrl.evaluation.classify.heads import make_body, make_head
from massrl.evaluation.classify.inputs import read_inputs
from massrl.evaluation.classify.module import Classifier, cross_entropy
from massrl.evaluation.classify.running import named
from massrl.evaluation.semi import choosing

SIDE, CLASS_IMAGES = 16, 12
COLOURS = {"blue": (30, 30, 200), "green": (30, 200, 30), "red": (200, 30, 30)}
QUICK = {"num_workers": 1, "trainer": {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False}}
FAST = {"epochs": 6, "batch_size": 12, "base_lr": 1.0, "lr_scaling": "none", "views": "eval"}


def coloured(folder: Path, seed: int, images: int = CLASS_IMAGES) -> Path:
    """Images of three classes that a linear classifier of their mean colour tells apart."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(images):
            pixels = np.array(colour) + rng.integers(-25, 26, (SIDE, SIDE, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{name}_{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with train, test, a checkpoint of two steps (SimCLR, 16 px), and a cache."""
    folder = tmp_path_factory.mktemp("classify")
    coloured(folder / "train", 0), coloured(folder / "test", 1)
    checkpoint = sample_checkpoint(folder, sample_folder(folder))
    return {"checkpoint": checkpoint, "train": folder / "train", "test": folder / "test", "cache": folder / "cache"}


def call(function, made, **options):
    """`function` on the coloured images, quickly."""
    files = [options.pop(name, made[name]) for name in ("checkpoint", "train", "test")]
    return function(*files, cache_dir=made["cache"], **{**QUICK, **options})


# ---- known answers


def test_classes_that_are_linearly_separable_are_told_apart_by_each_kind_of_training(made):
    fast = {**FAST, "epochs": 20}
    assert call(massrl.linear, made, protocol="moco", **fast).accuracy == 1.0
    assert (
        call(massrl.semi, made, protocol="vicreg", labels=0.5, draws=1, body_lr=0.05, probe=False, **fast).accuracy == 1
    )
    assert call(massrl.finetune, made, body_lr=0.05, **fast).accuracy == 1.0


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoders_weights_and_statistics_are_equal_to_the_bit_after_training(frozen):
    training = named("linear", "moco") if frozen else named("semi", "vicreg")
    body = make_body(massrl.SimCLR("tiny_resnet", backbone_args={"width": 4}), "online", training)
    before = copy.deepcopy(body)
    module = Classifier(body, [make_head(training, body.num_features, CLASSES, 0)], training, CLASSES, images=16)
    trainer(2).fit(module, Drawn(1))
    assert same_state(before, module.body) == frozen
    assert all(p.grad is None for p in module.body.parameters()) == frozen
    assert len(module.losses) == 2 and module.losses[1] < module.losses[0]


def test_heads_that_are_trained_beside_each_other_are_those_that_are_trained_alone():
    training = named("linear", "byol").changed({"rates": [], "weight_decay": 0.01})
    method = massrl.SimCLR("tiny_resnet", backbone_args={"width": 4})

    def fitted(factors):
        body = make_body(method, "online", training)
        heads = [make_head(training, body.num_features, CLASSES, 0) for _ in factors]
        module = Classifier(body, heads, training, CLASSES, factors, images=16)
        trainer(2).fit(module, Drawn(1))
        return module

    together, alone = fitted([0.1, 2.0]), [fitted([0.1]), fitted([2.0])]
    for head, one in zip(together.heads, alone, strict=True):
        for p, q in zip(head.parameters(), one.heads[0].parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)  # sums of other gradients round alike here
    assert not torch.equal(together.heads[0].weight, together.heads[1].weight)


def test_the_learning_rates_of_body_and_head_follow_the_schedule_step_by_step():
    class Rates(pl_callback()):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, *_):
            self.seen.append({g["part"]: g["lr"] for g in trainer.optimizers[0].param_groups})

    training = named("semi", "swav")
    body = make_body(massrl.SimCLR("tiny_resnet", backbone_args={"width": 4}), "online", training)
    module = Classifier(body, [make_head(training, body.num_features, CLASSES, 0)], training, CLASSES, images=16)
    rates = Rates()
    trainer(5, callbacks=[rates]).fit(module, Drawn(1))  # 20 steps; a fifth of the rate at 12 and 16
    factors = [1.0] * 12 + [0.2] * 4 + [0.04] * 4
    assert [one["body"] for one in rates.seen] == pytest.approx([0.01 * factor for factor in factors])
    assert [one["head"] for one in rates.seen] == pytest.approx([0.2 * factor for factor in factors])


def pl_callback():
    import pytorch_lightning as pl

    return pl.Callback


def test_soft_labels_with_smoothing_have_timms_loss():
    labels, weight = torch.tensor([0, 2, 1, 3]), 0.3
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    theirs = SoftTargetCrossEntropy()(logits, mixup_target(labels, 5, weight, 0.1))
    one_hot = F.one_hot(labels, 5).float()
    ours = cross_entropy(logits, weight * one_hot + (1 - weight) * one_hot.flip(0), label_smoothing=0.1)
    torch.testing.assert_close(ours, theirs)


def test_mixup_and_cutmix_take_turns_with_one_weight_for_a_batch():
    training = named("finetune", "mae").changed({"drop_path": 0.0, "layer_decay": 1.0})
    body = make_body(massrl.SimCLR("tiny_resnet", backbone_args={"width": 4}), "online", training)
    module = Classifier(body, [make_head(training, body.num_features, CLASSES, 0)], training, CLASSES, images=16)
    kinds = set()

    class Look(pl_callback()):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            mixed = pl_module._mixed(batch)
            soft = mixed.soft_labels
            torch.testing.assert_close(soft.sum(1), torch.ones(len(soft)))
            weights = soft.gather(1, batch.labels[:, None])  # neighbours are of other classes
            torch.testing.assert_close(weights, weights[:1].expand_as(weights))
            same = (mixed.views[0] == batch.views[0]).float().mean()  # mixup changes each pixel, cutmix none or all
            kinds.add("cutmix" if 0 < same else "mixup")

    trainer(3, callbacks=[Look()]).fit(module, Drawn(1))
    assert kinds == {"mixup", "cutmix"}


def test_only_the_images_of_a_subset_are_trained_on(made, monkeypatch):
    seen = set()
    step = Classifier.training_step

    def look(self, batch, batch_idx):
        seen.update(batch.index[batch.valid].tolist())
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", look)
    lists = made["cache"].parent / "lists"
    options = {"protocol": "vicreg", "per_class": 2, "draws": 1, "probe": False, "subsets_out": lists}
    call(massrl.semi, made, **options, **FAST)
    names = (lists / "subset-0.txt").read_text().split()
    inputs = read_inputs(made["checkpoint"], made["train"], made["test"], None, None, made["cache"])
    assert seen == {inputs.paths.index(name) for name in names} and len(seen) == 6


@pytest.mark.parametrize("protocol", ["mae", "dinov2"])
def test_a_vit_is_fine_tuned_by_the_settings_of_maes_and_dinov2s_authors(made, protocol):
    sizes = {"img_size": SIDE, "patch_size": 4, "depth": 2, "embed_dim": 24, "num_heads": 2}
    folder = made["cache"].parent / "vit"
    if not (folder / "sample_run").exists():
        images = sample_folder(folder)
        sample_checkpoint(folder, images, backbone="timm:vit_tiny_patch16_224", **sizes)
    checkpoint = folder / "sample_run" / "checkpoints" / "last.ckpt"
    fast = {"epochs": 12, "batch_size": 12, "base_lr": 3e-3, "body_lr": 3e-3, "lr_scaling": "none", "views": "eval"}
    found = call(massrl.finetune, made, checkpoint=checkpoint, protocol=protocol, warmup_epochs=1, **fast)
    assert found.accuracy > 0.8  # chance is 1/3
    assert not {"mixup", "cutmix", "drop_path", "smoothing", "layer_decay"} & found.differs.keys()


# ---- subsets


def test_every_row_and_every_checkpoint_has_the_same_subsets(made):
    options = {"labels": 0.25, "draws": 3, "scratch": True, **FAST, "epochs": 1}
    first = call(massrl.semi, made, protocol="vicreg", **options)
    again = call(massrl.semi, made, protocol="paws", **options)
    hashes = first.to_dict()["subsets_sha256"]
    assert hashes == again.to_dict()["subsets_sha256"] and len(set(hashes)) == 3
    assert {row: len(values) for row, values in first.scores.items()} == {"trained": 3, "scratch": 3, "probe": 3}
    probe = [massrl.linear(made["checkpoint"], made["train"], made["test"], labels=0.25, draws=3, num_workers=1,
                           cache_dir=made["cache"]).scores["trained"]]  # fmt: skip
    np.testing.assert_array_equal(first.probe, probe[0])


def test_a_training_is_a_function_of_its_seed_alone(made):
    options = {"protocol": "vicreg", "per_class": 2, "draws": 2, "probe": False, **{**FAST, "views": "crop_flip"}}
    first, again, other = (call(massrl.semi, made, **options, **more) for more in ({}, {"num_workers": 2}, {"seed": 1}))
    assert [one.top1 for one in first.fits["trained"]] == [one.top1 for one in again.fits["trained"]]
    assert first.to_dict()["subsets_sha256"] != other.to_dict()["subsets_sha256"]


def subset_file(text: str) -> Path:
    path = Path("subset.txt")
    path.write_text(text)
    return path


def test_a_subset_file_names_images_by_file_name_by_path_or_by_row(made):
    rows = {}
    for kind, line in (("name", "{c}_{i:02}.JPEG"), ("path", "{c}/{c}_{i:02}.png"), ("row", "{row}")):
        text = [line.format(c=c, i=i, row=CLASS_IMAGES * k + i) for k, c in enumerate(COLOURS) for i in (3, 5)]
        options = {"subset_file": subset_file("\n".join(text) + "\n\n"), "probe": False, **FAST, "epochs": 1}
        found = call(massrl.semi, made, protocol="vicreg", **options)
        rows[kind] = found.to_dict()["subsets_sha256"]
        assert found.labels == "subset.txt" and found.images["train"] == 6
    assert rows["name"] == rows["path"] == rows["row"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "red_00.png\nred_99.png\nn01440764_1.JPEG\n",
            r"2 of 3 images are not in .*: red_99.png, n01440764_1.JPEG$",
        ),
        ("red_00.png\nblue_00.png\n", r"has no image of 1 of 3 classes: green"),
        ("0\n12\n24\n99\n", r"names row 99, and .* has 36 images"),
        ("red_00.png\nred_00.jpg\n", "names red_00.* more than once"),
        ("\n", "names no image"),
    ],
)
def test_a_subset_file_that_does_not_fit_is_refused_by_name(made, text, line):
    with pytest.raises(SourceError, match=line):
        call(massrl.semi, made, subset_file=subset_file(text), **FAST)


def test_a_file_of_massrl_data_write_knows_the_names_of_its_images_until_it_is_another_file(made):
    assert main(["data", "write", str(made["train"]), "train.beton"]) == 0
    text = "\n".join(f"{c}_00.JPEG" for c in COLOURS)
    options = {"train": "train.beton", "subset_file": subset_file(text), "protocol": "vicreg", "probe": False}
    assert call(massrl.semi, made, **options, **FAST).images["train"] == 3
    shutil.copy("train.beton", "other.beton")
    with pytest.raises(SourceError, match=r"other.beton: does not say what its images are called"):
        call(massrl.semi, made, **{**options, "train": "other.beton"}, **FAST)
    shutil.copy("train.index.json", "other.index.json")
    with open("other.beton", "ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError, match="does not say what its images are called|other.beton"):
        call(massrl.semi, made, **{**options, "train": "other.beton"}, **FAST)


# ---- what is chosen, and what a result says


def test_a_rate_is_chosen_on_a_part_of_the_labelled_images_and_not_where_there_are_too_few(made):
    options = {"per_class": 6, "draws": 1, "probe": False, "rates": [1e-6, 1.0], **FAST}
    found = call(massrl.semi, made, **options)
    (fit,) = found.fits["trained"]
    assert set(fit.held_out) == {1e-6, 1.0} and fit.rate == 1.0 and fit.held_out[1.0] > fit.held_out[1e-6]
    record = found.to_dict()
    assert record["selection"] == "chosen on a held-out part of the training images" and not record["optimistic"]
    assert record["trained"]["held_out"] == [{"1e-06": fit.held_out[1e-6], "1": fit.held_out[1.0]}]
    few = call(massrl.semi, made, **{**options, "per_class": 4})
    assert few.fits["trained"][0].held_out == {} and few.differs["rates"][1] == ()
    assert choosing(named("semi", "semi"), np.repeat([0, 1], [5, 5])).selection == "held-out"
    assert choosing(named("semi", "semi"), np.repeat([0, 1], [5, 4])).selection == "fixed"


def test_a_rate_that_diverges_is_not_chosen_and_alone_it_is_an_error(made):
    options = {"per_class": 6, "draws": 1, "probe": False, **FAST}
    found = call(massrl.semi, made, rates=[1e30, 1.0], **options)
    assert found.fits["trained"][0].rate == 1.0 and found.fits["trained"][0].held_out[1e30] == 0.0
    with pytest.raises(ConfigError, match=r"the loss is (nan|inf) in epoch \d: training diverged; lower --base_lr"):
        call(massrl.semi, made, protocol="vicreg", **{**options, "base_lr": 1e30, "body_lr": 1e30})


def test_the_best_epoch_on_the_test_images_is_told_to_be_optimistic(made):
    found = call(massrl.linear, made, protocol="dino", **{**FAST, "base_lr": 0.01})
    (fit,) = found.fits["trained"]
    assert fit.top1 >= fit.last and found.protocol.optimistic
    record, text = found.to_dict(), repr(found)
    assert record["optimistic"] and record["selection"] == "optimistic: chosen on the test images"
    assert "optimistic: chosen on the test images" in text and "last epoch, %" in text


def test_a_result_says_what_differs_from_the_protocol_and_is_json(made):
    found = call(massrl.linear, made, protocol="moco", untrained=True, **FAST)
    record = json.loads(json.dumps(found.to_dict()))
    assert record["protocol"] == "linear-moco v1" and record["source"].startswith("He et al.")
    assert record["differs"]["epochs"] == [100, 6] and record["differs"]["batch_size"] == [256, 12]
    assert record["accuracy"] == {"mean": found.accuracy, "std": None} and record["branch"] == "online"
    assert {"checkpoint_sha256", "train_sha256", "test_sha256", "seed", "versions", "git"} <= record.keys()
    lines = repr(found).splitlines()
    assert "no setting is chosen by an accuracy" in lines[0] and "epochs 6 (protocol: 100)" in lines[1]
    assert any(line.startswith("untrained network, frozen") for line in lines)
    assert found._repr_html_().count("<tr>") == 3 and found.top5 is None
    assert pickle.loads(pickle.dumps(found)).accuracy == found.accuracy


def test_a_batch_that_is_larger_than_the_training_set_is_cut_to_it_and_told(made):
    found = call(massrl.linear, made, protocol="simclr", epochs=1)
    assert found.differs["batch_size"] == [4096, 36] and "batch_size 36 (protocol: 4096)" in repr(found)


def test_top_5_is_torchmetrics_of_more_than_five_classes():
    training = named("linear", "moco")
    body = make_body(massrl.SimCLR("tiny_resnet", backbone_args={"width": 4}), "online", training)
    module = Classifier(body, [make_head(training, body.num_features, 7, 0)], training, 7).eval()
    data = Drawn(1)
    trainer().validate(module, data, verbose=False)
    with torch.no_grad():
        ranks = [(module(b.views[0])[0].argsort(1, descending=True) == b.labels[:, None]).float() for b in data.batches]
    ranks = torch.cat(ranks)
    assert module.history[0]["top1"] == pytest.approx([float(ranks[:, :1].sum(1).mean())])
    assert module.history[0]["top5"] == pytest.approx([float(ranks[:, :5].sum(1).mean())])


@pytest.mark.parametrize("name", ["crop_flip", "randaugment", "pad_flip", "eval"])
def test_training_views_are_one_view_with_the_protocols_interpolation_and_erasing(name):
    training = named("linear", "mae").changed({"views": name, "erasing": 0.25})
    views = training_views(training, 24)
    assert len(views) == 1 and views.size == 24 and views.interpolation == "bicubic"
    assert type(views.programs(0)[0][-1]).__name__ == "Erasing" and views.programs(0)[0][-1].p == 0.25
    plain = training_views(named("linear", "moco").changed({"views": name}), 24)
    assert [type(op) for op in plain.programs(0)[0]] == [type(op) for op in views.programs(0)[0][:-1]]


# ---- what is refused


def test_images_that_cannot_be_classified_are_refused_before_any_training(made, tmp_path, monkeypatch):
    monkeypatch.setattr(Job, "fit", lambda *_: pytest.fail("trained"))
    flat, one, more = tmp_path / "flat", tmp_path / "one", tmp_path / "more"
    shutil.copytree(made["train"] / "red", flat)
    shutil.copytree(made["train"] / "red", one / "red")
    shutil.copytree(made["test"], more)
    shutil.copytree(made["test"] / "red", more / "yellow")
    for call_it in (massrl.semi, massrl.finetune, lambda *a, **k: massrl.linear(*a, protocol="moco", **k)):
        with pytest.raises(SourceError, match="flat: images have no labels"):
            call(call_it, made, train=flat)
        with pytest.raises(ConfigError, match="one: all 12 images are of one class"):
            call(call_it, made, train=one, test=one)
        with pytest.raises(SourceError, match="have other class folders: yellow is in one only"):
            call(call_it, made, test=more)
        with pytest.raises(ConfigError, match="epochs is 0"):
            call(call_it, made, epochs=0)
        with pytest.raises(ConfigError, match="batch_size is 0"):
            call(call_it, made, batch_size=0)
        with pytest.raises(ConfigError, match=r"no setting 'epoch'. Did you mean 'epochs'\?"):
            call(call_it, made, epoch=3)
    with pytest.raises(ConfigError, match="per_class is 13, and class 0 has 12 images"):
        call(massrl.semi, made, per_class=13)
    with pytest.raises(ConfigError, match="views makes 8 views of an image"):
        call(massrl.finetune, made, views="massrl")


def test_labels_that_are_no_class_numbers_are_refused(made):
    from data_loading import DatasetWriter
    from data_loading.fields import IntField, RGBImageField

    def write(name, labels):
        pixels = np.zeros((8, 8, 3), np.uint8)
        data = [(pixels, label) for label in labels]
        fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
        DatasetWriter(Path(name), fields).from_indexed_dataset(data, progress=False)
        return name

    good = write("good.beton", [0, 1, 0, 1])
    with pytest.raises(SourceError, match="image 2 has the label 2147483647; labels count classes from 0"):
        call(massrl.finetune, made, train=write("large.beton", [0, 1, 2**31 - 1]), test=good)
    with pytest.raises(SourceError, match="image 1 has the label -1"):
        call(massrl.finetune, made, train=write("none.beton", [0, -1, 1]), test=good)
    with pytest.raises(SourceError, match="beyond.beton: has images of class 2, which no image of good.beton is of"):
        call(massrl.finetune, made, train=good, test=write("beyond.beton", [0, 1, 2]))


def test_a_damaged_checkpoint_is_refused_in_one_line(made, tmp_path):
    data = made["checkpoint"].read_bytes()
    for name, content in (("cut", data[: len(data) // 2]), ("noise", b"\0" * 1000), ("empty", b"")):
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as error:
            call(massrl.semi, made, checkpoint=path)
        assert "\n" not in str(error.value) and path.name in str(error.value)


def test_settings_of_a_training_without_a_protocol_and_of_the_probe_with_one_are_refused(made):
    with pytest.raises(ConfigError, match="linear has no argument 'epoch'.*Did you mean 'epochs'"):
        call(massrl.linear, made, epoch=3, trainer=None)
    with pytest.raises(ConfigError, match="draws is of the protocols linear, "):
        call(massrl.linear, made, protocol="moco", draws=3)
    with pytest.raises(ConfigError, match="epochs is of protocols that train a head, as moco; linear takes none"):
        call(massrl.linear, made, epochs=3, trainer=None)
    with pytest.raises(ConfigError, match="C is of the protocols linear, dinov2-logreg, dinov2-linear; leave it out"):
        call(massrl.linear, made, protocol="moco", C=1.0)
    with pytest.raises(ConfigError, match="there is no target network|has no target network"):
        call(massrl.semi, made, branch="target")


# ---- the commands


@pytest.mark.parametrize("words", [["linear", "--protocol", "byol"], ["semi"], ["finetune", "--protocol", "simclr"]])
def test_a_check_of_a_command_trains_and_leaves_nothing(words, capsys):
    assert main([*words, "--check"]) == 0
    assert not list(Path().iterdir())
    said = capsys.readouterr().out
    assert "check passed" in said and "SimCLR" in said


def test_the_command_gives_what_python_gives(made, capsys):
    options = ["--num_workers", "1", "--cache_dir", str(made["cache"]), "--accelerator", "cpu", "--json", "found.json"]
    files = [word for name in ("checkpoint", "train", "test") for word in (f"--{name}", str(made[name]))]
    fast = [word for name, value in FAST.items() for word in (f"--{name}", str(value))]
    words = ["semi", *files, *options, *fast, "--per_class", "6", "--draws", "1", "--rates", "[0.1, 1.0]"]
    assert main(words) == 0
    record = json.loads(Path("found.json").read_text())
    found = call(massrl.semi, made, per_class=6, draws=1, rates=[0.1, 1.0], **FAST)
    assert record["trained"]["values"] == found.to_dict()["trained"]["values"]
    assert record["trained"]["held_out"] == found.to_dict()["trained"]["held_out"]
    assert "semi v1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--epochs", "0"], "epochs is 0; it must be an integer of at least 1"),
        (["--protocol", "vicregg"], "no protocol named 'vicregg' for semi. Did you mean 'vicreg'?"),
        (["--labels", "0"], "labels is '0'"),
        (["--draws", "0"], "draws is 0"),
        (["--views", "simclt"], "no view set or strategy named 'simclt'"),
        (["--base_lr", "fast"], "--base_lr"),
        (["--seed", str(2**70)], "seed"),
        (["--cache_dir", ""], "cache_dir is ''"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(made, words, line, capsys):
    files = [word for name in ("checkpoint", "train", "test") for word in (f"--{name}", str(made[name]))]
    usual = [] if "--cache_dir" in words else ["--cache_dir", str(made["cache"])]
    try:
        code = main(["semi", *files, *usual, *words])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert code == 2 and line in said.err and said.err.count("\n") == 1 and said.out == ""


@pytest.mark.long
def test_two_processes_train_the_head_that_one_trains(made):
    files = [word for name in ("checkpoint", "train", "test") for word in (f"--{name}", str(made[name]))]
    fast = [word for name, value in FAST.items() for word in (f"--{name}", str(value))]
    words = ["linear", *files, *fast, "--protocol", "vicreg", "--num_workers", "1", "--accelerator", "cpu"]
    found = []
    for processes in ("1", "2"):
        of_it = [*words, "--cache_dir", str(made["cache"]), "--devices", processes, "--json", f"{processes}.json"]
        done = subprocess.run([sys.executable, "-m", "massrl", *of_it], capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("linear-vicreg v1") == 1, "one process speaks"
        found.append(json.loads(Path(f"{processes}.json").read_text())["trained"])
    assert found[0]["values"] == found[1]["values"]  # 36 images in 3 batches of 12: the same global batches
