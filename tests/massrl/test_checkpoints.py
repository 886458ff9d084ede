import pytest
import torch
from torch import nn

import massrl
from data_loading.errors import CheckpointError
from drawn import Drawn, same_state, small, trainer
from massrl.methods import load


@pytest.fixture
def saved(tmp_path):
    method, run = small("BYOL"), trainer()
    run.fit(method, Drawn(2, 2))
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    return tmp_path / "a.ckpt", method


def refused(path, words, **args):
    with pytest.raises(CheckpointError, match=words) as caught:
        load(path, **args)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_the_package_loads_what_a_run_has_saved(saved):
    path, method = saved
    assert massrl.load is load and same_state(load(path), method)


def test_the_checkpoint_names_its_method_its_arguments_and_what_their_none_stood_for(saved):
    kept = torch.load(saved[0], weights_only=True)["hyper_parameters"]
    assert kept["method"] == "BYOL" and kept["init_args"]["hidden_dim"] == 16
    assert kept["resolved"]["optim"]["momentum"] == 0.9 and kept["resolved"]["bn_over"] == "view"


def test_a_checkpoint_of_another_method_is_refused(saved):
    refused(saved[0], "a checkpoint of BYOL, not of SimCLR", expected="SimCLR")


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "none.ckpt", "no such checkpoint")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_file_that_was_cut_short_is_refused(saved, keep):
    path = saved[0]
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    refused(path, "not a checkpoint, or cut short")


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"hyper_parameters": {"lr": 1}, "state_dict": {}}])
def test_a_foreign_checkpoint_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "b.ckpt")
    refused(tmp_path / "b.ckpt", "not a checkpoint of massrl")


def test_a_file_with_objects_in_it_is_refused_without_running_them(tmp_path):
    torch.save({"state_dict": nn.Linear(1, 1)}, tmp_path / "c.ckpt")
    refused(tmp_path / "c.ckpt", "objects other than tensors")


def test_text_is_no_checkpoint(tmp_path):
    (tmp_path / "d.ckpt").write_text("hello")
    refused(tmp_path / "d.ckpt", "not a checkpoint, or cut short")


@pytest.mark.parametrize("change", ["rename", "drop"])
def test_weights_that_do_not_fit_are_refused(saved, change):
    path = saved[0]
    checkpoint = torch.load(path, weights_only=True)
    value = checkpoint["state_dict"].pop("projector.0.weight")
    if change == "rename":
        checkpoint["state_dict"]["head.weight"] = value
    torch.save(checkpoint, path)
    refused(path, "does not fit BYOL of this version")


def test_a_method_that_is_not_installed_is_named(saved):
    checkpoint = torch.load(saved[0], weights_only=True)
    checkpoint["hyper_parameters"]["method"] = "Other"
    torch.save(checkpoint, saved[0])
    refused(saved[0], "a checkpoint of Other, which is not installed")


def test_a_backbone_of_ones_own_must_be_given_again(tmp_path):
    def own():
        net = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
        net.num_features = 6
        return net

    method, run = small("SimCLR", backbone=own(), backbone_args=None), trainer()
    run.fit(method, Drawn(2, 2))
    run.save_checkpoint(tmp_path / "e.ckpt", weights_only=False)
    refused(tmp_path / "e.ckpt", "load\\(path, backbone=...\\)")
    assert same_state(load(tmp_path / "e.ckpt", backbone=own()), method)
