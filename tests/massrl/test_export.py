"""Exports: what a library reads is what the encoder computes; cards are true; nothing is left where it is not."""

import dataclasses
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

import massrl
from drawn import small
from massrl.backbones import build
from massrl.cli import main as front
from massrl.cli.samples import sample_folder
from massrl.errors import CheckpointError, ConfigError, UnknownName, UserError
from massrl.exporting import detectron2_file, targets
from massrl.runs.checkpoint import hyper_parameters
from massrl.runs.record import file_sha256, versions

VIT = {"backbone": "timm:vit_tiny_patch16_224", "backbone_args": {"img_size": 32, "patch_size": 8, "depth": 2}}
RESNET = {"backbone": "resnet18", "backbone_args": {"stem": "imagenet"}}
NETWORKS = {
    "resnet18": RESNET,
    "resnet18, small stem": {"backbone": "resnet18", "backbone_args": {"stem": "cifar"}},
    "resnet18, 1 channel": {"backbone": "resnet18", "backbone_args": {"in_chans": 1}},
    "resnet18, blurred": {"backbone": "resnet18", "backbone_args": {"blur": True}},
    "timm:resnet18": {"backbone": "timm:resnet18", "backbone_args": {"drop_path_rate": 0.1}},
    "timm:mobilenetv3": {
        "backbone": "timm:mobilenetv3_small_050",
        "backbone_args": None,
    },  # a layer between pooling and classifier
    "ViT": VIT,
    "tiny_resnet": {"backbone": "tiny_resnet", "backbone_args": {"width": 4}},
}
# Forms that can hold each, of which the checks are worth their time.
FIT = {
    "resnet18": ["timm", "torchvision", "safetensors", "detectron2"],
    "resnet18, small stem": ["torchvision", "safetensors"],
    "resnet18, 1 channel": ["timm", "torchvision"],
    "resnet18, blurred": ["safetensors", "torch-export"],
    "timm:resnet18": ["timm", "torchvision"],
    "timm:mobilenetv3": ["timm", "safetensors"],
    "ViT": ["timm", "torch-export"],
    "tiny_resnet": ["safetensors", "torch-export"],
}
SUFFIX = {name: target.suffix for name, target in targets.TARGETS.items()}


def saved(path: Path, method: massrl.Method, size: int = 32) -> Path:
    """A checkpoint of a method as a run of 2 epochs would write it, with BatchNorm statistics of a trained network."""
    draw = torch.Generator().manual_seed(1)
    for part in method.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            part.running_mean.normal_(0, 0.1, generator=draw)
            part.running_var.uniform_(0.5, 2, generator=draw)
    content = {
        "state_dict": method.state_dict(),
        "hyper_parameters": hyper_parameters(method),
        "global_step": 6,
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 2}}}},
        "massrl": {"size": size, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "view_set": None, "config": {}},
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """A checkpoint of SimCLR with each network."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: saved(folder / f"{i}.ckpt", small("SimCLR", **NETWORKS[name])) for i, name in enumerate(NETWORKS)}


def images(channels: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(5))


def features(network, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(x)


def assert_same(found: torch.Tensor, expected: torch.Tensor, relative: float = 1e-5) -> None:
    assert (found - expected).abs().max() <= relative * expected.abs().max()


def loaded(use: str):
    """`model` after the lines that an export tells to type."""
    place: dict = {}
    exec(use, place)
    return place["model"]


@pytest.mark.parametrize(("name", "to"), [(name, to) for name in FIT for to in FIT[name]])
def test_the_lines_that_an_export_tells_to_type_give_the_encoders_features(name, to, checkpoints):
    found = massrl.export(checkpoints[name], to, f"out/encoder{SUFFIX[to]}")
    expected = massrl.load(checkpoints[name]).encoder
    x = images(1 if "1 channel" in name else 3)
    assert found.difference <= found.card["check"]["tolerance"] < 0.01
    if to != "detectron2":  # whose lines are a config of detectron2
        assert_same(features(loaded(found.use), x), features(expected, x))
    beside = {"encoder"} if to == "timm" else {f"encoder{SUFFIX[to]}", "encoder.json"}
    assert {path.name for path in Path("out").iterdir()} == beside, "no temporary file is left"


REFUSED = {
    "resnet18, small stem": ["timm", "detectron2"],
    "resnet18, blurred": ["timm", "torchvision", "detectron2"],
    "timm:mobilenetv3": ["torchvision", "detectron2"],
    "ViT": ["torchvision", "detectron2"],
    "tiny_resnet": ["timm", "torchvision", "detectron2"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_that_cannot_hold_the_network_is_refused_with_the_reason_and_leaves_nothing(name, checkpoints):
    for to in REFUSED[name]:
        with pytest.raises(ConfigError, match=f"cannot be exported to {to}: .+; --to safetensors holds it"):
            massrl.export(checkpoints[name], to, f"out{SUFFIX[to]}")
    assert list(Path().iterdir()) == []


def test_timm_makes_the_network_with_other_classes_and_prepares_images_as_we_do(checkpoints):
    massrl.export(checkpoints["resnet18"], "timm", "out")
    encoder = massrl.load(checkpoints["resnet18"]).encoder
    classifier = timm.create_model("local-dir:out", pretrained=True, num_classes=7)
    assert torch.equal(classifier.conv1.weight, encoder.conv1.weight) and classifier.fc.weight.shape == (7, 512)
    config = timm.data.resolve_model_data_config(classifier)
    assert tuple(config["input_size"]) == (3, 32, 32) and config["interpolation"] == "bilinear"
    assert list(config["mean"]) == [0.5, 0.4, 0.3] and list(config["std"]) == [0.2, 0.25, 0.3]
    assert config["crop_pct"] == 224 / 256 and config["crop_mode"] == "center"


def test_a_vit_in_timms_folder_takes_images_of_other_sizes_as_before(checkpoints):
    massrl.export(checkpoints["ViT"], "timm", "out")
    model, encoder = timm.create_model("local-dir:out", pretrained=True).eval(), massrl.load(checkpoints["ViT"]).encoder
    assert_same(features(model, images(size=64)), features(encoder, images(size=64)))


def test_a_safetensors_file_and_its_card_give_the_encoder_to_the_bit(checkpoints):
    for name in ("tiny_resnet", "resnet18, small stem"):
        massrl.export(checkpoints[name], "safetensors", f"{name}.safetensors")
        network, encoder = massrl.load_encoder(f"{name}.safetensors"), massrl.load(checkpoints[name]).encoder
        assert not network.training and network.num_features == encoder.num_features
        state = encoder.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_an_encoder_with_layers_of_the_projector_is_made_again_and_its_backbone_can_be_carried_alone(tmp_path):
    path = saved(tmp_path / "v2.ckpt", small("SimCLRv2", **RESNET))
    with pytest.raises(ConfigError, match="ends with layers of its projector, which timm does not have"):
        massrl.export(path, "timm", "out")
    massrl.export(path, "safetensors", "a.safetensors")
    assert torch.equal(
        features(massrl.load_encoder("a.safetensors"), images()), features(massrl.load_encoder(path), images())
    )
    found = massrl.export(path, "timm", "out", part="backbone")
    assert found.card["layer"] == "backbone" and "--part backbone" in found.card["command"]
    assert_same(features(loaded(found.use), images()), features(massrl.load(path).backbone, images()))


class Net(nn.Module):
    """A backbone without a name."""

    num_features = 5

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


def test_a_backbone_that_was_given_as_a_module_comes_back_into_one_like_it(tmp_path):
    torch.manual_seed(0)
    method = massrl.SimCLR(Net(), hidden_dim=8, out_dim=8)
    path = saved(tmp_path / "own.ckpt", method)
    with pytest.raises(CheckpointError, match="backbone given as a module"):
        massrl.export(path, "safetensors", "own.safetensors")
    found = massrl.export(path, "safetensors", "own.safetensors", backbone=Net())
    assert found.card["architecture"] == "Net" and "backbone=net" in found.use
    with pytest.raises(CheckpointError, match=r"load_encoder\(path, backbone=...\)"):
        massrl.load_encoder(found)
    given = Net()
    before = given.conv.weight.clone()
    network = massrl.load_encoder(found, backbone=given)
    assert torch.equal(network.conv.weight, method.backbone.conv.weight) and torch.equal(given.conv.weight, before)


# ---- branches


def test_the_branch_is_the_evaluated_one_unless_said_and_is_in_the_card(tmp_path):
    for name, evaluated in (("BYOL", "online"), ("DINO", "target")):
        method = small(name)
        with torch.no_grad():
            for p in method.target.parameters():
                p.mul_(1.5)  # so that the branches differ
        path = saved(tmp_path / f"{name}.ckpt", method, size=8)
        branches = {"online": method.backbone, "target": method.target.parts["backbone"]}
        for branch in (None, "online", "target"):
            found = massrl.export(path, "safetensors", f"{name}-{branch}.safetensors", branch=branch)
            network, chosen = massrl.load_encoder(found.path), branch or evaluated
            assert found.card["branch"] == chosen and f"the {chosen} network" in repr(found)
            assert torch.equal(features(network, images(size=8)), features(branches[chosen].eval(), images(size=8)))
            assert torch.equal(
                features(massrl.load_encoder(path, branch=branch), images(size=8)), features(network, images(size=8))
            )


def test_a_branch_that_the_method_does_not_have_is_refused(checkpoints):
    with pytest.raises(ConfigError, match="SimCLR has no target network"):
        massrl.export(checkpoints["tiny_resnet"], "safetensors", "a.safetensors", branch="target")
    with pytest.raises(ConfigError, match="branch is 'teacher'; choose one of online, target"):
        massrl.export(checkpoints["tiny_resnet"], "safetensors", "a.safetensors", branch="teacher")
    assert list(Path().iterdir()) == []


# ---- cards


def test_the_card_says_what_the_encoder_is_and_where_it_comes_from(checkpoints):
    path = checkpoints["resnet18"]
    found = massrl.export(path, "torchvision", "encoder.pth")
    card = json.loads(Path("encoder.json").read_text())
    assert card == found.card
    assert (card["architecture"], card["library"], card["stem"]) == ("resnet18", "torchvision", "imagenet")
    assert (card["method"], card["epochs"], card["steps"], card["branch"]) == ("SimCLR", 2, 6, "online")
    assert card["checkpoint_sha256"] == file_sha256(path) and card["num_features"] == 512
    assert card["input"]["mean"] == [0.5, 0.4, 0.3] and card["input"]["size"] == 32
    assert (card["input"]["interpolation"], card["input"]["crop_pct"]) == ("bilinear", 0.875)
    assert card["command"] == f"massrl export {path} --to torchvision --out encoder.pth"
    assert card["versions"] == versions()
    assert card["check"]["read_by"] == f"torchvision {torchvision.__version__}"
    assert found.bytes == Path("encoder.pth").stat().st_size


def test_the_page_of_timms_folder_has_the_facts_and_the_hubs_head(checkpoints):
    found = massrl.export(checkpoints["ViT"], "timm", "out")
    page = Path("out/README.md").read_text()
    assert page.startswith("---\nlibrary_name: timm\n") and "# vit_tiny_patch16_224, SimCLR" in page
    facts = (
        "0.5, 0.4, 0.3; 0.2, 0.25, 0.3",
        "bilinear, crop_pct 0.875",
        "SimCLR, epochs 2, steps 6",
        "the online network",
    )
    assert "| stem |" not in page  # a ViT has one only
    for fact in (*facts, file_sha256(checkpoints["ViT"]), found.card["command"], "largest difference", "img_size=32"):
        assert fact in page, fact
    assert "local-dir:out" in page


def test_the_tables_rows_are_the_cards_values(checkpoints):
    found = massrl.export(checkpoints["tiny_resnet"], "safetensors", "a.safetensors")
    assert "read back by" in repr(found) and f"{found.difference:.2g} at most" in repr(found)
    assert found._repr_html_().count("<tr>") == len(repr(found).splitlines())
    assert found.to_dict()["bytes"] == Path("a.safetensors").stat().st_size and os.fspath(found) == "a.safetensors"


def test_a_checkpoint_without_a_count_of_epochs_is_exported_and_the_card_leaves_it_out(checkpoints):
    content = torch.load(checkpoints["ViT"], weights_only=True)
    del content["loops"], content["global_step"]
    torch.save(content, "bare.ckpt")
    assert massrl.export("bare.ckpt", "timm", "out").card["epochs"] is None
    assert "| method | SimCLR |" in Path("out/README.md").read_text()


# ---- what differs is not kept


@pytest.mark.parametrize("to", ["timm", "torchvision", "safetensors", "detectron2"])
def test_an_export_that_gives_other_features_is_an_error_and_leaves_nothing(to, checkpoints, monkeypatch):
    target = targets.TARGETS[to]

    def other(encoder):
        """Write a network with one weight moved."""
        key = "layer1.0.conv1.weight"
        part = encoder.network.get_parameter(key)
        part[0, 0, 1, 1] += 0.5
        try:
            return target.write(encoder)
        finally:
            part[0, 0, 1, 1] -= 0.5

    monkeypatch.setitem(targets.TARGETS, to, dataclasses.replace(target, write=other))
    with pytest.raises(UserError, match=r"gives features that differ by .* \(accepted: .*\); nothing was kept"):
        massrl.export(checkpoints["resnet18"], to, f"deep/er/out{target.suffix}")
    assert list(Path().iterdir()) == []


def test_an_export_that_cannot_be_read_back_is_an_error_and_leaves_nothing(checkpoints, monkeypatch):
    broken = dataclasses.replace(targets.TARGETS["torchvision"], write=lambda encoder: {"model.pth": b"no zip"})
    monkeypatch.setitem(targets.TARGETS, "torchvision", broken)
    with pytest.raises(UserError, match="torchvision cannot read the export back"):
        massrl.export(checkpoints["resnet18"], "torchvision", "out.pth")
    assert list(Path().iterdir()) == []


def test_an_export_that_the_library_cannot_write_is_one_line_and_leaves_nothing(checkpoints, monkeypatch):
    def large(encoder):
        raise ValueError("Message onnx.ModelProto exceeds\nmaximum protobuf size of 2GB")

    broken = dataclasses.replace(targets.TARGETS["torchvision"], write=large)
    monkeypatch.setitem(targets.TARGETS, "torchvision", broken)
    with pytest.raises(UserError, match="torchvision cannot write the export .*exceeds maximum protobuf"):
        massrl.export(checkpoints["resnet18"], "torchvision", "out.pth")
    assert list(Path().iterdir()) == []


# ---- detectron2


def test_names_of_detectron2_are_those_of_mocos_converter():
    names = {
        "conv1.weight": "stem.conv1.weight",
        "bn1.running_mean": "stem.conv1.norm.running_mean",
        "layer1.0.conv2.weight": "res2.0.conv2.weight",
        "layer4.2.bn3.bias": "res5.2.conv3.norm.bias",
        "layer2.0.downsample.0.weight": "res3.0.shortcut.weight",
        "layer2.0.downsample.1.weight": "res3.0.shortcut.norm.weight",
    }
    assert {name: detectron2_file.to_detectron2(name) for name in names} == names
    for name in build("resnet50").state_dict():
        assert detectron2_file.from_detectron2(detectron2_file.to_detectron2(name)) == name


def test_the_pickle_for_detectron2_holds_numpy_arrays_and_its_keys(checkpoints):
    found = massrl.export(checkpoints["resnet18"], "detectron2", "out.pkl")
    content = pickle.loads(Path("out.pkl").read_bytes())
    assert set(content) == {"model", "__author__", "matching_heuristics"} and content["matching_heuristics"] is True
    encoder = massrl.load(checkpoints["resnet18"]).encoder
    weight = content["model"]["res2.0.conv1.weight"]
    assert isinstance(weight, np.ndarray) and np.array_equal(weight, encoder.layer1[0].conv1.weight.detach().numpy())
    assert "detectron2 was not run" in found.card["check"]["read_by"]
    assert "PIXEL_MEAN: [127.500, 102.000, 76.500]" in found.use and "DEPTH: 18" in found.use
    assert "RES2_OUT_CHANNELS: 64" in found.use  # detectron2's own is 256, of bottlenecks


# ---- ONNX


@pytest.mark.parametrize("name", ["resnet18", "ViT", "tiny_resnet"])
def test_an_onnx_file_gives_the_features_for_any_number_of_images(name, checkpoints):
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library, reason="pip install massrl[onnx]")
    found = massrl.export(checkpoints[name], "onnx", "out.onnx")
    assert "onnxruntime" in found.card["check"]["read_by"]
    model, encoder = loaded(found.use), massrl.load(checkpoints[name]).encoder
    for count in (1, 3):
        x = images()[:count]
        assert_same(torch.from_numpy(model(x.numpy())), features(encoder, x), 1e-4)


def test_without_onnx_the_error_says_what_to_install(checkpoints, monkeypatch):
    from massrl.exporting import onnx_file

    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"ONNX needs onnx and onnxscript: pip install massrl\[onnx\]"):
        massrl.export(checkpoints["tiny_resnet"], "onnx", "out.onnx")
    assert list(Path().iterdir()) == []


# ---- bad input


def test_a_wrong_name_of_a_form_is_answered_with_the_nearest(checkpoints):
    with pytest.raises(UnknownName, match="no export to 'tim'. Did you mean 'timm'. Known: timm, torchvision, safet"):
        massrl.export(checkpoints["resnet18"], "tim", "out")


@pytest.mark.parametrize(
    ("to", "out", "said"),
    [
        ("timm", "file", "is a file; --to timm writes a folder"),
        ("timm", "full", "is not empty; name another folder"),
        ("timm", "", "name a folder"),
        ("safetensors", "full", r"is a folder; name a file, as full/encoder.safetensors"),
        ("safetensors", "a.pth", "ends in .safetensors"),
        ("safetensors", "there.safetensors", "there.safetensors exists; name another file, or remove it"),
        ("safetensors", "card.safetensors", "card.json exists"),
        ("safetensors", 5, "--out is 5; name a file"),
    ],
)
def test_an_out_that_is_in_use_or_of_another_kind_is_refused_and_stays(to, out, said, checkpoints):
    Path("full").mkdir()
    for name in ("file", "full/a", "there.safetensors", "card.json"):
        Path(name).write_text("mine")
    before = sorted(str(path) for path in Path().rglob("*"))
    with pytest.raises(ConfigError, match=said):
        massrl.export(checkpoints["tiny_resnet"], to, out)
    assert sorted(str(path) for path in Path().rglob("*")) == before
    assert Path("there.safetensors").read_text() == "mine"


def test_an_empty_folder_is_taken(checkpoints):
    Path("out").mkdir()
    massrl.export(checkpoints["resnet18"], "timm", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["README.md", "config.json", "model.safetensors"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_said(checkpoints):
    Path("closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match="closed/a.safetensors cannot be written: Permission denied"):
        massrl.export(checkpoints["tiny_resnet"], "safetensors", "closed/a.safetensors")


def test_a_path_below_a_file_is_said(checkpoints):
    Path("file").write_text("mine")
    with pytest.raises(UserError, match="file/a.safetensors cannot be written: (Not a directory|File exists)"):
        massrl.export(checkpoints["tiny_resnet"], "safetensors", "file/a.safetensors")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"part": "head"}, "part is 'head'; choose one of encoder, backbone"),
        ({"size": 0}, "size is 0; it must be an integer from 1 to 4096"),
        ({"size": 2.5}, "size is 2.5; it must be an integer"),
    ],
)
def test_a_wrong_option_is_refused(options, said, checkpoints):
    with pytest.raises(ConfigError, match=said):
        massrl.export(checkpoints["tiny_resnet"], "safetensors", "a.safetensors", **options)


def test_a_size_that_the_network_does_not_take_is_said(checkpoints):
    with pytest.raises(ConfigError, match="does not take images of 33 px"):
        massrl.export(checkpoints["ViT"], "timm", "out", size=33)
    assert list(Path().iterdir()) == []


def test_damaged_checkpoints_and_diverged_weights_are_one_line(checkpoints, tmp_path):
    whole = checkpoints["tiny_resnet"].read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    method = small("SimCLR")
    method.backbone.layers[0][0].weight.data[0] = torch.nan
    saved(tmp_path / "nan.ckpt", method)
    for name, said in (("cut.ckpt", "cut short"), ("none.ckpt", "no such checkpoint"), ("nan.ckpt", "has diverged")):
        with pytest.raises(CheckpointError, match=said) as caught:
            massrl.export(tmp_path / name, "safetensors", "a.safetensors")
        assert "\n" not in str(caught.value)


def test_damaged_exports_are_one_line(checkpoints):
    massrl.export(checkpoints["resnet18"], "timm", "folder")
    massrl.export(checkpoints["tiny_resnet"], "safetensors", "a.safetensors")
    massrl.export(checkpoints["resnet18"], "safetensors", "b.safetensors")
    Path("folder/model.safetensors").write_bytes(b"cut")
    Path("alone.safetensors").write_bytes(Path("a.safetensors").read_bytes())
    Path("b.json").write_text(Path("a.json").read_text())
    Path("empty").mkdir()
    bad = {
        "folder": "timm cannot load it",
        "alone.safetensors": "has no card alone.json beside it",
        "b.safetensors": "its weights do not fit",
        "empty": "neither a run folder nor an export",
        "none.safetensors": "neither a run folder nor an export",
    }
    for path, said in bad.items():
        with pytest.raises(CheckpointError, match=said) as caught:
            massrl.load_encoder(path)
        assert "\n" not in str(caught.value)
    card = json.loads(Path("a.json").read_text())
    for made_by in (
        {"backbone": {}},
        {"backbone": 3},
        {"method": "SimCLR"},
        {"backbone": {"name": "resnet18", "no": 1}},
    ):
        Path("a.json").write_text(json.dumps({**card, "made_by": made_by}))
        with pytest.raises(CheckpointError, match="no network can be made as its card says") as caught:
            massrl.load_encoder("a.safetensors")
        assert "\n" not in str(caught.value)
    Path("a.json").write_text(json.dumps(card))
    Path("a.safetensors").write_bytes(Path("a.safetensors").read_bytes()[:500])
    with pytest.raises(CheckpointError, match="cut short"):
        massrl.load_encoder("a.safetensors")
    Path("a.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not the card"):
        massrl.load_encoder("a.safetensors")
    with pytest.raises(ConfigError, match="an export holds one network"):
        massrl.load_encoder("b.safetensors", branch="target")


def test_load_says_that_an_export_is_read_by_load_encoder(checkpoints):
    massrl.export(checkpoints["resnet18"], "timm", "folder")
    for path in ("folder", "folder/model.safetensors"):
        with pytest.raises(CheckpointError, match="massrl.load_encoder reads it"):
            massrl.load(path)


def test_loading_and_exporting_leave_the_random_state_alone(checkpoints):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for to in ("timm", "torchvision", "safetensors"):
        massrl.export(checkpoints["resnet18"], to, f"{to}{SUFFIX[to]}")
    massrl.load_encoder(checkpoints["tiny_resnet"])
    massrl.load_encoder("timm")
    massrl.load_encoder("safetensors.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


# ---- the end of a run


QUICK = {"size": 16, "batch_size": 4, "num_workers": 1, "max_epochs": 1, "limit_train_batches": 2, "devices": 1}
QUICK |= {"accelerator": "cpu", "enable_progress_bar": False, "report": False}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return sample_folder(tmp_path_factory.mktemp("images"))


def test_a_run_ends_with_a_timm_folder_which_a_continued_run_replaces(pictures, capsys):
    run = massrl.pretrain(pictures, "SimCLR", out="run", **VIT, **QUICK)
    assert 'export: timm.create_model("local-dir:run/export", pretrained=True)' in capsys.readouterr().out
    assert sorted(path.name for path in Path("run/export").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    x, first = images(size=16), massrl.load_encoder("run/export")
    assert_same(features(first, x), features(massrl.load(run).encoder, x))
    massrl.pretrain(ckpt_path=run, max_epochs=2)
    second = massrl.load_encoder("run/export")
    assert_same(features(second, x), features(massrl.load(run).encoder, x))
    assert not torch.equal(features(second, x), features(first, x))
    assert not [path for path in Path("run").iterdir() if path.name.startswith(".")]
    assert file_sha256(run.checkpoint) in Path("run/export/README.md").read_text()


def test_where_timm_cannot_make_the_network_a_run_ends_with_safetensors_and_says_why(pictures, capsys):
    run = massrl.pretrain(pictures, "BYOL", out="run", backbone="tiny_resnet", backbone_args={"width": 4}, **QUICK)
    said = capsys.readouterr().out
    assert "export: massrl.load_encoder('run/export'), as timm has no tiny_resnet" in said
    assert sorted(path.name for path in Path("run/export").iterdir()) == ["model.json", "model.safetensors"]
    state = massrl.load(run).encoder.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in massrl.load_encoder("run/export").state_dict().items())
    card = json.loads(Path("run/export/model.json").read_text())
    assert card["command"].startswith("massrl.pretrain(") and card["branch"] == "online"


def test_a_run_with_a_module_ends_with_safetensors_for_such_a_module(pictures, capsys):
    run = massrl.pretrain(pictures, massrl.SimCLR(Net(), hidden_dim=8, out_dim=8), out="run", **QUICK)
    assert (
        "export: massrl.load_encoder('run/export', backbone=...), as its backbone was given" in capsys.readouterr().out
    )
    network = massrl.load_encoder("run/export", backbone=Net())
    assert torch.equal(network.conv.weight, massrl.load(run, backbone=Net()).backbone.conv.weight)


def test_an_export_that_fails_does_not_make_a_training_fail(pictures, capsys, monkeypatch):
    from massrl.exporting import run_folder

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "compose", full)
    tiny = {"backbone": "tiny_resnet", "backbone_args": {"width": 4}}
    run = massrl.pretrain(pictures, "SimCLR", out="run", **tiny, **QUICK)
    said = [line for line in capsys.readouterr().out.splitlines() if "export" in line]
    assert said == ["no export was written: run/export cannot be written: No space left on device"]
    assert run.checkpoint.is_file() and not Path("run/export").exists()
    assert not [path for path in Path("run").iterdir() if path.name.startswith(".")]


def test_an_export_of_an_earlier_state_stays_where_another_fails_or_is_not_wanted_which_is_said(
    pictures, capsys, monkeypatch
):
    from massrl.exporting import run_folder

    tiny = {"backbone": "tiny_resnet", "backbone_args": {"width": 4}}
    run = massrl.pretrain(pictures, "SimCLR", out="run", **tiny, **QUICK)
    before = {path.name: path.read_bytes() for path in Path("run/export").iterdir()}
    massrl.pretrain(ckpt_path=run, max_epochs=2, export=False)
    assert "as export is false; run/export is of an earlier state of this run" in capsys.readouterr().out
    replace = Path.replace

    def failing(path, target):
        if Path(target).name == "export" and (path / "model.json").read_bytes() != before["model.json"]:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(run_folder.Path, "replace", failing)
    massrl.pretrain(ckpt_path=run, max_epochs=3, export=True)
    said = capsys.readouterr().out
    assert "No space left on device; run/export is of an earlier state of this run" in said
    assert {path.name: path.read_bytes() for path in Path("run/export").iterdir()} == before
    assert not [path for path in Path("run").iterdir() if path.name.startswith(".")]


def test_a_run_without_export_writes_none(pictures, capsys):
    tiny = {"backbone": "tiny_resnet", "backbone_args": {"width": 4}}
    run = massrl.pretrain(pictures, "SimCLR", out="run", export=False, **tiny, **QUICK)
    assert "export" not in capsys.readouterr().out and not Path("run/export").exists()
    assert run.config["export"] is False


# ---- the command


def test_the_command_prints_what_was_written_and_how_to_load_it(checkpoints, capsys):
    assert front.main(["export", str(checkpoints["resnet18"]), "--to", "timm", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert "difference    " in said and "read back by  timm" in said
    assert "timm.create_model('local-dir:out', pretrained=True)" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "missing: CHECKPOINT, --to, --out"),
        (["none.ckpt", "--to", "timm", "--out", "out"], "none.ckpt: no such checkpoint"),
        (["none.ckpt", "--to", "onx", "--out", "out"], "Did you mean 'onnx'"),
        (["none.ckpt", "--to", "timm", "--out", ""], "--out is ''"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(words, said, capsys):
    assert front.main(["export", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.parametrize("to", [None, "timm"])
def test_the_commands_check_exports_a_run_of_two_steps_and_leaves_nothing(to, capsys):
    assert front.main(["export", "--check", *(["--to", to] if to else [])]) == 0
    assert "check passed: nothing was kept" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
