"""Weights to start from: from files of every form and from the libraries, all or nothing, and never needed twice."""

import argparse
import json
import pickle
import shutil
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from data_loading.errors import ConfigError
from drawn import Drawn, same_state, small, trainer
from massrl.backbones import build, check_weights, reinitialise, weights_match, without_weights
from massrl.cli import main as front
from massrl.cli.samples import sample_folder
from massrl.methods import load

TINY = {"name": "tiny_resnet", "width": 4}


def seeded(seed: int, **args) -> nn.Module:
    torch.manual_seed(seed)
    return build(**args)


@pytest.fixture
def donor() -> nn.Module:
    return seeded(1, **TINY)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> tuple[Path, nn.Module]:
    """A ResNet-18 with its classifier as a file, and the encoder in it."""
    model = seeded(1, name="resnet18")
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save({**model.state_dict(), "fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}, path)
    return path, model


def under(prefix: str, state: dict) -> dict:
    return {prefix + key: value for key, value in state.items()}


FORMS = {
    "plain.pt": lambda s: s,
    "nested.pth": lambda s: {"state_dict": s, "epoch": 3},
    "model.pth": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1)},
    "data_parallel.pth": lambda s: {"state_dict": under("module.", s)},
    "solo_learn.ckpt": lambda s: {"state_dict": {**under("backbone.", s), **under("momentum_backbone.", dict(s))}},
    "moco.pth.tar": lambda s: {"state_dict": {**under("module.encoder_q.", s), "module.queue": torch.zeros(3)}},
    "compiled.pt": lambda s: under("module._orig_mod.", s),
    "simple.pt": lambda s: {**under("method.backbone.", s), "_extra_state": torch.zeros(2)},
    "half.pt": lambda s: {k: v.bfloat16() if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_every_form_gives_its_weights(form, donor, tmp_path):
    if form == "half.pt":  # numbers that bfloat16 holds
        state = donor.state_dict()
        donor.load_state_dict({k: v.bfloat16().float() if v.is_floating_point() else v for k, v in state.items()})
    torch.save(FORMS[form](donor.state_dict()), tmp_path / form)
    assert same_state(build(**TINY, weights=str(tmp_path / form)), donor)


def test_a_safetensors_file_gives_its_weights(donor, tmp_path):
    state = {k: v.contiguous() for k, v in under("backbone.", donor.state_dict()).items()}
    save_file(state, tmp_path / "a.safetensors")
    assert same_state(build(**TINY, weights=tmp_path / "a.safetensors"), donor)


def test_a_checkpoint_of_ours_gives_its_online_backbone_or_by_name_its_targets(tmp_path):
    method, run = small("BYOL"), trainer()
    run.fit(method, Drawn(2, 2))
    path = tmp_path / "a.ckpt"
    run.save_checkpoint(path, weights_only=False)
    assert same_state(build(**TINY, weights=path), method.backbone)
    target = build(**TINY, weights=path, weights_key="target.parts.backbone")
    assert same_state(target, method.target.parts["backbone"]) and not same_state(target, method.backbone)


def test_a_prefix_is_taken_off_only_where_it_is_one():
    net = nn.ModuleDict({"encoder": nn.Linear(2, 2), "model": nn.Linear(2, 2)})  # as torchvision's ViT: encoder.layers
    state = {k: torch.full_like(v, i) for i, (k, v) in enumerate(net.state_dict().items())}
    for prefix in ("", "module.", "backbone.", "module.encoder."):
        fresh = nn.ModuleDict({"encoder": nn.Linear(2, 2), "model": nn.Linear(2, 2)})
        weights_match.fill(fresh, under(prefix, state), "net", "file")
        assert all(torch.equal(v, state[k]) for k, v in fresh.state_dict().items()), prefix


def test_of_several_state_dicts_one_must_be_named(donor, tmp_path):
    other = seeded(2, **TINY)
    both = {"student": donor.state_dict(), "teacher": under("module.backbone.", other.state_dict())}
    torch.save(both, tmp_path / "a.pth")
    with pytest.raises(ConfigError, match="holds student, teacher; say which: weights_key: teacher"):
        build(**TINY, weights=tmp_path / "a.pth")
    assert same_state(build(**TINY, weights=tmp_path / "a.pth", weights_key="teacher"), other)
    torch.save(donor.state_dict(), tmp_path / "b.pth")
    with pytest.raises(ConfigError, match="nothing under 'layer'. Did you mean 'layers'"):
        build(**TINY, weights=tmp_path / "b.pth", weights_key="layer")


def test_the_sentence_counts_what_matched_and_names_what_was_left(donor):
    state = {**donor.state_dict(), "fc.weight": torch.zeros(3, 16), "prototypes.weight": torch.zeros(3)}
    found = {**under("backbone.", state), "projector.0.weight": torch.zeros(1)}
    said = weights_match.fill(seeded(2, **TINY), found, "tiny_resnet", "a.pt")
    n = sum("num_batches" not in k for k in donor.state_dict())
    assert said == (
        f"tiny_resnet: {n} of {n} weights from a.pt, there under 'backbone'; none missing; classifier dropped: "
        "1 (fc.weight); not used: 2 (prototypes.weight, projector.0.weight)"
    )


def test_counters_that_old_files_lack_are_not_missed(donor, tmp_path):
    torch.save({k: v for k, v in donor.state_dict().items() if "num_batches" not in k}, tmp_path / "a.pt")
    assert same_state(build(**TINY, weights=tmp_path / "a.pt"), donor)


def refused(words: str, **args) -> str:
    with pytest.raises(ConfigError, match=words) as caught:
        build(**args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_weight_is_refused_and_named(donor, tmp_path):
    state = donor.state_dict()
    del state["layers.0.0.weight"]
    torch.save(state, tmp_path / "a.pt")
    refused("missing there: 1 \\(layers.0.0.weight\\)", **TINY, weights=tmp_path / "a.pt")


def test_weights_that_are_not_finite_are_refused_with_their_name(donor, tmp_path):
    donor.layers[0][0].weight.data[0, 0, 0, 0] = torch.nan
    torch.save(donor.state_dict(), tmp_path / "nan.pt")
    refused(r"NaN or infinite values in 1 \(layers.0.0.weight\); use another", **TINY, weights=tmp_path / "nan.pt")


def test_weights_and_weights_except_of_other_kinds_are_refused(donor, tmp_path):
    refused("backbone_args.weights is 3; name a file", **TINY, weights=3)
    torch.save(donor.state_dict(), tmp_path / "a.pt")
    refused(r"weights_except is 3; give a list of module names", **TINY, weights=tmp_path / "a.pt", weights_except=3)


def test_weights_of_another_width_are_refused_with_their_shapes(donor, tmp_path):
    torch.save(donor.state_dict(), tmp_path / "a.pt")
    said = refused("of another shape: ", name="tiny_resnet", width=8, weights=tmp_path / "a.pt")
    assert "layers.0.0.weight (4, 3, 3, 3) there and (8, 3, 3, 3) here" in said


def test_a_deeper_network_whose_first_layers_would_fit_is_refused(tmp_path):
    torch.save(build("tiny_resnet", width=4, stages=2).state_dict(), tmp_path / "deep.pt")
    torch.save(build("resnet34").state_dict(), tmp_path / "34.pt")
    refused("does not fit tiny_resnet", **TINY, weights=tmp_path / "deep.pt")
    refused(
        ": 100 of 100 weights match; only there: .*layer1.2.conv1.weight", name="resnet18", weights=tmp_path / "34.pt"
    )


def test_another_architecture_is_refused(resnet):
    refused("0 of .* weights match; .*it has conv1.weight, .*: set the backbone", **TINY, weights=resnet[0])


@pytest.mark.parametrize("args", [{"stem": "cifar"}, {"in_chans": 1}, {"stem": "cifar", "in_chans": 4}])
def test_another_stem_is_refused_until_it_is_named_and_then_stays_random(resnet, args):
    path, whole = resnet
    said = refused("99 of 100 weights match", name="resnet18", weights=path, **args)
    assert "conv1.weight (64, 3, 7, 7) there" in said and said.endswith("backbone_args: {weights_except: [conv1]}")
    fresh = seeded(3, name="resnet18", **args)
    torch.manual_seed(3)
    got = build("resnet18", weights=path, weights_except=["conv1"], **args)
    expected = {**whole.state_dict(), "conv1.weight": fresh.state_dict()["conv1.weight"]}
    assert all(torch.equal(v, expected[k]) for k, v in got.state_dict().items())


def test_the_deep_stem_of_a_file_is_left_out_by_the_same_word(tmp_path):
    torch.save(build("timm:resnet18d").state_dict(), tmp_path / "a.pt")
    small_stem = {"name": "timm:resnet18d", "stem": "cifar", "weights": tmp_path / "a.pt"}
    said = refused("only there: .*conv1.0.weight", **small_stem)
    assert said.endswith("backbone_args: {weights_except: [conv1]}")
    assert build(**small_stem, weights_except=["conv1"]).conv1.weight.shape == (64, 3, 3, 3)


def test_one_part_that_is_missing_is_named_as_what_may_stay_random(donor, tmp_path):
    state = {k: v for k, v in build("resnet18").state_dict().items() if not k.startswith("layer4.1.bn2")}
    torch.save(state, tmp_path / "a.pt")
    assert refused("96 of 100", name="resnet18", weights=tmp_path / "a.pt").endswith("weights_except: [layer4]")


def test_what_is_left_out_stays_random_also_where_it_would_fit_and_must_be_there(donor, tmp_path):
    torch.save(donor.state_dict(), tmp_path / "a.pt")
    fresh = seeded(3, **TINY)
    torch.manual_seed(3)
    got = build(**TINY, weights=tmp_path / "a.pt", weights_except=["layers.0"])
    assert torch.equal(got.layers[0][0].weight, fresh.layers[0][0].weight)
    assert torch.equal(got.layers[1][0].weight, donor.layers[1][0].weight)
    refused("no module 'layer'. Did you mean 'layers'", **TINY, weights=tmp_path / "a.pt", weights_except=["layer"])
    refused("have no effect without weights or pretrained", **TINY, weights_except=["layers"])


def test_a_vit_of_another_grid_is_told_which_arguments_to_give(tmp_path):
    vit = {"name": "timm:vit_tiny_patch16_224", "depth": 1, "patch_size": 8}
    torch.save(build(**vit, img_size=32).state_dict(), tmp_path / "a.pt")
    refused("pos_embed .*set the img_size, patch_size", **vit, img_size=64, weights=tmp_path / "a.pt")
    with torch.no_grad():
        assert build(**vit, img_size=32, weights=tmp_path / "a.pt").eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 192)


BAD = {
    "text.pt": lambda path, _: path.write_text("hello"),
    "cut.pt": lambda path, state: (torch.save(state, path), path.write_bytes(path.read_bytes()[:900])),
    "text.safetensors": lambda path, _: path.write_text("hello"),
    "list.pt": lambda path, state: torch.save(list(state.values()), path),
    "empty.pt": lambda path, _: torch.save({"epoch": 3}, path),
    "objects.pt": lambda path, _: torch.save({"model": nn.Linear(1, 1)}, path),
    "none.pt": lambda path, _: None,
}
SAID = {
    "text": "not a file of weights, or truncated",
    "cut": "not a file of weights, or truncated",
    "list": "holds a list, not a state dict",
    "empty": "holds no weights",
    "objects": "objects other than tensors, which could run code",
    "none": "no such file",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_that_is_none_is_one_sentence(bad, donor, tmp_path):
    path = tmp_path / bad
    BAD[bad](path, donor.state_dict())
    assert str(path) in refused(SAID[path.stem], **TINY, weights=path)


def test_torchvisions_weights_are_found_where_it_keeps_them(resnet, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    shutil.copy(resnet[0], tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    for which in (True, "IMAGENET1K_V1"):
        assert same_state(build("resnet18", pretrained=which), resnet[1])
    refused("conv1.weight .*weights_except: \\[conv1\\]", name="resnet18", stem="cifar", pretrained=True)


def test_timms_weights_are_loaded_by_timm_and_fitted_to_the_size(tmp_path):
    vit = {"name": "timm:vit_tiny_patch16_224", "depth": 1}
    donor = seeded(1, **vit)
    head = {"head.weight": torch.zeros(1000, 192), "head.bias": torch.zeros(1000)}
    torch.save({**donor.state_dict(), **head}, tmp_path / "a.pth")
    local = {**vit, "pretrained": True, "pretrained_cfg_overlay": {"file": str(tmp_path / "a.pth")}}
    assert same_state(build(**local), donor)
    smaller = build(**local, img_size=64)
    assert smaller.pos_embed.shape == (1, 1 + 4 * 4, 192)
    assert torch.equal(smaller.blocks[0].attn.qkv.weight, donor.blocks[0].attn.qkv.weight)
    refused("patch_embed.proj.weight .*in_chans", **local, in_chans=1)
    assert build(**local, in_chans=1, weights_except="patch_embed").patch_embed.proj.weight.shape[1] == 1


def test_without_a_network_pretrained_is_one_sentence_that_says_what_to_do(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setattr("timm.models._hub.hf_hub_download", offline)
    for name in ("resnet18", "timm:vit_tiny_patch16_224"):
        said = refused("could not be loaded \\(URLError: .*Name or service not known", name=name, pretrained=True)
        assert "backbone_args: {weights: FILE} instead of pretrained" in said


def test_a_wrong_name_of_pretrained_weights_is_answered_with_the_nearest():
    refused("Did you mean 'IMAGENET1K_V2'", name="resnet50", pretrained="IMAGENET_V2")
    refused("Did you mean 'augreg_in21k'", name="timm:vit_tiny_patch16_224", pretrained="augreg_in21")
    refused("tiny_resnet' has no pretrained weights", **TINY, pretrained=True)
    refused("timm has no pretrained weights for botnet50ts_256", name="timm:botnet50ts_256", pretrained=True)
    refused("both weights and pretrained", name="resnet18", pretrained=True, weights="a.pt")


def test_weights_change_nothing_that_is_drawn_after_them(donor, tmp_path):
    torch.save(donor.state_dict(), tmp_path / "a.pt")
    starts = ({}, {"weights": str(tmp_path / "a.pt")})
    methods = [small("SimCLR", backbone_args={"width": 4, **more}) for more in starts]
    assert same_state(methods[0].projector, methods[1].projector)
    assert same_state(methods[1].backbone, donor) and not same_state(methods[0].backbone, donor)


def test_a_checkpoint_needs_the_file_it_began_with_no_more_and_still_names_it(donor, tmp_path):
    path = tmp_path / "a.pt"
    torch.save(donor.state_dict(), path)
    method, run = small("BYOL", backbone_args={"width": 4, "weights": str(path)}), trainer()
    assert same_state(method.target.parts["backbone"], donor)
    run.fit(method, Drawn(2, 2))
    run.save_checkpoint(tmp_path / "b.ckpt", weights_only=False)
    path.unlink()
    again = load(tmp_path / "b.ckpt")
    assert same_state(again, method) and again.init_args["backbone_args"]["weights"] == str(path)
    with pytest.raises(ConfigError, match="no such file"):  # the file counts again for what is new
        small("BYOL", backbone_args={"width": 4, "weights": str(path)})


def test_a_path_given_in_python_stands_as_text_in_the_checkpoint(donor, tmp_path):
    torch.save(donor.state_dict(), tmp_path / "a.pt")
    method, run = small("SimCLR", backbone_args={"width": 4, "weights": tmp_path / "a.pt"}), trainer()
    run.fit(method, Drawn(2, 2))
    run.save_checkpoint(tmp_path / "b.ckpt", weights_only=False)
    assert load(tmp_path / "b.ckpt").init_args["backbone_args"]["weights"] == str(tmp_path / "a.pt")


def test_the_untrained_twin_of_a_backbone_that_began_with_weights_is_random(donor, tmp_path):
    torch.save(donor.state_dict(), tmp_path / "a.pt")
    began = build(**TINY, weights=tmp_path / "a.pt")
    (tmp_path / "a.pt").unlink()
    assert same_state(reinitialise(began, 5), reinitialise(build(**TINY), 5))
    assert not same_state(reinitialise(began, 5), donor)


def test_without_weights_ends_where_it_ends(donor, tmp_path):
    with without_weights():
        build(**TINY, weights=tmp_path / "none.pt")
    refused("no such file", **TINY, weights=tmp_path / "none.pt")


def test_a_run_says_what_it_began_with_and_goes_on_without_the_file(donor, tmp_path, capsys, caplog):
    torch.save(donor.state_dict(), "a.pt")
    words = ["--model", "SimCLR", "--model.backbone", "tiny_resnet"]
    words += ["--model.backbone_args", "{width: 4, weights: a.pt}", "--data.train", str(sample_folder(tmp_path))]
    words += ["--data.size", "16", "--data.batch_size", "8", "--data.num_workers", "1", "--report", "false"]
    words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert front.main(["pretrain", *words, "--run", "one", "--trainer.max_epochs", "1"]) == 0
    assert "tiny_resnet: 30 of 30 weights from a.pt; none missing" in caplog.messages
    Path("a.pt").unlink()
    assert front.main(["pretrain", *words, "--run", "two", "--trainer.max_epochs", "1"]) == 2
    assert "backbone_args.weights: a.pt: no such file" in capsys.readouterr().err
    go_on = ["--ckpt_path", "one/checkpoints/last.ckpt", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu"]
    assert front.main(["pretrain", *go_on]) == 0
    assert "weights: a.pt" in Path("one/config.yaml").read_text()


# ---- files of other libraries, each with the names and the nesting that the library writes


def resnet_children(s: dict) -> dict:
    """The names of nn.Sequential(*list(resnet.children())[:-1])."""
    number = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    return {f"{number[k.partition('.')[0]]}.{k.partition('.')[2]}": v for k, v in s.items()}


def head(s: dict, *names: str) -> dict:
    return {name: torch.ones(3) for name in names}


LIGHTNING = {"epoch": 9, "global_step": 90, "pytorch-lightning_version": "2.1.2", "optimizer_states": [], "loops": {}}
RESNETS = {
    "solo-learn": lambda s: {
        **LIGHTNING,
        "state_dict": {
            **under("backbone.", s),
            **head(s, "classifier.weight", "classifier.bias", "projector.0.weight", "predictor.0.weight"),
            **{k: v + 1 for k, v in under("momentum_backbone.", s).items()},
        },
    },
    "old solo-learn": lambda s: {"state_dict": {**under("encoder.", s), **head(s, "classifier.weight", "queue")}},
    "lightly": lambda s: {
        **LIGHTNING,
        "state_dict": {**under("backbone.", s), **head(s, "projection_head.layers.0.weight")},
    },
    "lightly's examples": lambda s: {"state_dict": under("backbone.", resnet_children(s))},
    "MoCo": lambda s: {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": {
            **under("module.encoder_q.", {**s, **head(s, "fc.0.weight", "fc.2.weight")}),
            **{k: v + 1 for k, v in under("module.encoder_k.", s).items()},
            "module.queue": torch.ones(3),
        },
    },
    "MoCo v3": lambda s: {
        "arch": "resnet18",
        "state_dict": {
            **under("module.base_encoder.", {**s, **head(s, "fc.0.weight", "fc.1.running_mean")}),
            **{k: v + 1 for k, v in under("module.momentum_encoder.", s).items()},
            **head(s, "module.predictor.0.weight"),
        },
    },
    "SwAV": lambda s: under("module.", {**s, **head(s, "projection_head.0.weight", "prototypes.weight")}),
    "Barlow Twins and VICReg": lambda s: s,
    "vissl": lambda s: {
        "phase_idx": 3,
        "classy_state_dict": {
            "base_model": {"model": {"trunk": under("_feature_blocks.", s), "heads": head(s, "0.clf.weight")}}
        },
    },
    "mmpretrain": lambda s: {
        "meta": {"epoch": 200},
        "state_dict": {**under("backbone.", s), **head(s, "neck.fc0.weight", "head.w")},
    },
    "timm": lambda s: {**s, **head(s, "fc.weight", "fc.bias")},
}
VITS = {
    "DINO": lambda s: {
        "student": under("module.backbone.", {k: v + 1 for k, v in s.items()}),
        "teacher": {**under("backbone.", s), **head(s, "head.mlp.0.weight", "head.last_layer.weight_g")},
        "args": argparse.Namespace(arch="vit_tiny"),
        "dino_loss": {"center": torch.zeros(1, 3)},
    },
    "MoCo v3": lambda s: {"state_dict": under("module.base_encoder.", {**s, **head(s, "head.0.weight")})},
    "MAE": lambda s: {"model": {**s, **head(s, "mask_token", "decoder_embed.weight", "decoder_blocks.0.norm1.weight")}},
    "torchvision": lambda s: {torchvision_vit(k): v for k, v in s.items()} | head(s, "heads.head.weight"),
    "mmpretrain": lambda s: {"state_dict": under("backbone.", {mmpretrain_vit(k): v for k, v in s.items()})},
}
VIT = {"name": "timm:vit_tiny_patch16_224", "img_size": 32, "patch_size": 8, "depth": 2}


def torchvision_vit(key: str) -> str:
    """A name of timm's ViT as torchvision has it"""
    first, *rest = key.split(".")
    if first == "blocks":
        n, part, *more = rest
        block = f"encoder.layers.encoder_layer_{n}"
        names = {"norm1": "ln_1", "norm2": "ln_2", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3"}
        names |= {"attn.proj": "self_attention.out_proj"}
        inner = ".".join([part, *more[:-1]])
        if inner == "attn.qkv":
            return f"{block}.self_attention.in_proj_{more[-1]}"
        return f"{block}.{names[inner]}.{more[-1]}"
    tops = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding", "norm": "encoder.ln"}
    return ".".join([tops[first], *rest]) if first in tops else f"conv_proj.{rest[-1]}"


def mmpretrain_vit(key: str) -> str:
    """A name of timm's ViT as mmpretrain has it."""
    for mine, theirs in (
        ("blocks.", "layers."),
        (".norm1", ".ln1"),
        (".norm2", ".ln2"),
        ("mlp.fc1", "ffn.layers.0.0"),
        ("mlp.fc2", "ffn.layers.1"),
        ("patch_embed.proj", "patch_embed.projection"),
    ):
        key = key.replace(mine, theirs)
    return key.replace("norm.", "ln1.") if key.startswith("norm.") else key


@pytest.mark.parametrize("form", RESNETS)
def test_a_resnet_of_every_library_comes_back_to_the_bit(form, resnet, tmp_path):
    torch.save(RESNETS[form](resnet[1].state_dict()), tmp_path / "a.pth")
    assert same_state(build("resnet18", weights=tmp_path / "a.pth"), resnet[1])
    found = check_weights(tmp_path / "a.pth", "resnet18")
    assert found.fits and found.matched == 100 and "fits" in repr(found)


@pytest.mark.parametrize("form", VITS)
def test_a_vit_of_every_library_comes_back_to_the_bit(form, tmp_path):
    donor = seeded(1, **VIT)
    torch.save(VITS[form](donor.state_dict()), tmp_path / "a.pth")
    key = {"weights_key": "teacher"} if form == "DINO" else {}
    assert same_state(build(**VIT, weights=tmp_path / "a.pth", **key), donor)


def test_the_names_of_torchvisions_vit_in_these_tests_are_torchvisions():
    with torch.device("meta"):
        theirs = {k for k in torchvision.models.vit_b_16().state_dict() if not k.startswith("heads")}
        mine = build("timm:vit_base_patch16_224").state_dict()
    assert {torchvision_vit(k) for k in mine} == theirs


def test_a_torchvision_vit_in_timms_network_gives_its_features(tmp_path):
    torch.manual_seed(0)
    shape = {"patch_size": 8, "num_layers": 2, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    donor = torchvision.models.VisionTransformer(image_size=32, **shape).eval()
    torch.save(donor.state_dict(), tmp_path / "a.pth")
    donor.heads = nn.Identity()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(build(**VIT, weights=tmp_path / "a.pth").eval()(x), donor(x), atol=1e-5, rtol=1e-4)


def test_solo_learns_small_stem_pads_by_two_and_is_a_stem_of_its_own(tmp_path):
    torch.manual_seed(0)
    solo = torchvision.models.resnet18()  # as solo-learn and MASSRL's code change it for CIFAR
    solo.conv1, solo.maxpool, solo.fc = nn.Conv2d(3, 64, 3, 1, 2, bias=False), nn.Identity(), nn.Identity()
    torch.save(RESNETS["solo-learn"](solo.state_dict()), tmp_path / "solo.ckpt")
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network = build("resnet18", stem="cifar_pad2", weights=tmp_path / "solo.ckpt").eval()
    with torch.no_grad():
        assert torch.equal(network(x), solo.eval()(x))
    assert network.conv1(x).shape[-1] == 34
    assert (
        "stem: cifar_pad2 computes the same"
        in check_weights(tmp_path / "solo.ckpt", "resnet18", {"stem": "cifar"}).note
    )
    assert not check_weights(tmp_path / "solo.ckpt", "resnet18", {"stem": "cifar_pad2"}).note
    refused("stem: cifar_pad2 fits ResNets", name="tiny_resnet", stem="cifar_pad2")


def test_a_folder_of_timm_and_a_run_are_read_as_weights(donor, tmp_path):
    (tmp_path / "export").mkdir()
    save_file({k: v.contiguous() for k, v in donor.state_dict().items()}, tmp_path / "export" / "model.safetensors")
    assert same_state(build(**TINY, weights=tmp_path / "export"), donor)
    refused("a folder without model.safetensors or checkpoints/last.ckpt", **TINY, weights=tmp_path)


def test_a_file_that_would_run_code_is_refused_before_any_of_it_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}, "extra": Evil()}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps({"model": Evil()}))
    refused("could run code", name="resnet18", weights=tmp_path / "a.pth")
    refused("a.*pth|b.pth", name="resnet18", weights=tmp_path / "b.pth")
    assert not (tmp_path / "ran").exists()


def test_weights_of_which_too_few_match_are_refused_where_others_would_train_a_random_network(resnet, tmp_path):
    odd = {f"trunk_of_mine.{k}": v for k, v in resnet[1].state_dict().items()}  # a prefix that nobody strips
    torch.save(odd, tmp_path / "a.pth")
    refused("0 of 100 weights match; missing there: 100", name="resnet18", weights=tmp_path / "a.pth")
    assert same_state(build("resnet18", weights=tmp_path / "a.pth", weights_key="trunk_of_mine"), resnet[1])


# ---- the report


def test_the_report_lists_what_matched_is_missing_and_is_not_used(resnet, tmp_path):
    state = {k: v for k, v in resnet[1].state_dict().items() if not k.startswith("layer4.1.bn2")}
    state["layer1.0.conv1.weight"] = torch.zeros(1)
    torch.save(
        {"state_dict": under("module.encoder_q.", {**state, "layer1.7.conv1.weight": torch.zeros(1)})}, tmp_path / "a"
    )
    found = check_weights(tmp_path / "a", "resnet18")
    assert (
        not found.fits
        and found.matched == 95
        and len(found.missing) == 4
        and list(found.shapes) == ["layer1.0.conv1.weight"]
    )
    assert found.unexpected == ("layer1.7.conv1.weight",) and found.prefix == "module.encoder_q."
    lines = dict(
        line.split(maxsplit=1) if "  " not in line else (line[:21].strip(), line[21:])
        for line in repr(found).splitlines()
    )
    assert lines["matched"] == "95 of 100" and lines["verdict"] == "does not fit"
    assert (
        lines["missing there"].startswith("4 (layer4.1.bn2.weight")
        and lines["only there"] == "1 (layer1.7.conv1.weight)"
    )
    assert found._repr_html_().count("<tr>") == len(lines) and found.to_dict()["matched"] == 95


def test_the_command_reports_and_says_by_its_exit_code_whether_the_weights_fit(resnet, capsys):
    assert front.main(["weights", str(resnet[0]), "--backbone", "resnet18"]) == 0
    said = capsys.readouterr().out
    assert "matched              100 of 100" in said and "classifier, dropped  2 (fc.weight, fc.bias)" in said
    assert front.main(["weights", str(resnet[0]), "--backbone", "resnet34", "--json"]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["fits"] is False and "does not fit resnet34" in said.err
    args = ["--backbone_args", "{stem: cifar, weights_except: [conv1]}"]
    assert front.main(["weights", str(resnet[0]), "--backbone", "resnet18", *args]) == 0
    assert "left random          1 (conv1.weight)" in capsys.readouterr().out
    for words, line in (
        ([], "say which file"),
        (["none.pth"], "none.pth: no such file"),
        ([str(resnet[0]), "--backbone", "resnt18"], "Did you mean 'resnet18'"),
        ([str(resnet[0]), "--backbone_args", "{weights: a.pth}"], "the file is given as weights"),
    ):
        assert front.main(["weights", *words]) == 2
        assert line in capsys.readouterr().err
    assert front.main(["weights", "--check"]) == 0 and "nothing was kept" in capsys.readouterr().out
