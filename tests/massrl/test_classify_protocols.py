"""The protocols that train a classifier: their records, learning rates, parameter groups and layer decay."""

import dataclasses
import math

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

import massrl
from data_loading.errors import ConfigError, UnknownName
from massrl.evaluation.classify.fitting import batches
from massrl.evaluation.classify.heads import make_body, make_head
from massrl.evaluation.classify.rates import factor_of_step, groups, optimizer
from massrl.evaluation.classify.running import named, names
from massrl.evaluation.classify.training import Training
from massrl.evaluation.protocol import protocols

TINY = {"backbone": "tiny_resnet", "backbone_args": {"width": 4}}
VIT = {
    "backbone": "timm:vit_tiny_patch16_224",
    "backbone_args": {"img_size": 8, "patch_size": 2, "depth": 3, "embed_dim": 24},
}
ALL = {name: kind for name, kind in protocols().items() if issubclass(kind, Training)}


@pytest.mark.parametrize("name", ALL)
def test_a_protocol_says_its_name_source_and_selection_and_its_settings_are_in_range(name):
    protocol = ALL[name]()
    assert protocol.name == name and protocol.title == f"{name} v1" and protocol.source
    assert protocol.frozen == (protocol.task == "linear")
    assert protocol.optimistic == (protocol.selection == "test") == ("optimistic" in protocol.card()["selection"])
    assert dataclasses.replace(protocol) == protocol


def test_the_named_protocols_are_there():
    assert {*names("linear")} == {
        *("moco", "simclr", "byol", "mocov3", "mae", "solo", "massrl", "vicreg", "swav", "dino"),
    }
    assert {*names("semi")} == {"semi", "vicreg", "swav", "simclr", "byol", "massrl", "paws"}
    assert {*names("finetune")} == {"finetune", "simclr", "mae", "dinov2"}


def test_settings_are_those_of_the_authors_code():
    linear, semi, tuned = names("linear"), names("semi"), names("finetune")
    moco = linear["moco"]()
    assert (moco.base_lr, moco.batch_size, moco.epochs, moco.schedule, moco.weight_decay) == (30, 256, 100, "step", 0)
    mae = linear["mae"]()
    assert (mae.optimizer, mae.head, mae.warmup_epochs, mae.batch_size, mae.epochs) == ("lars", "norm", 10, 16384, 90)
    byol = linear["byol"]()
    assert [byol.base_lr * rate for rate in byol.rates] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.05])
    assert linear["mocov3"]().fitted("MoCoV3", "timm:vit_small_patch16_224", 1.0).base_lr == 3
    assert linear["solo"]().fitted("SimSiam", "resnet18", 1.0).base_lr == 30
    few, many = (semi["vicreg"]().fitted("VICReg", "resnet50", share) for share in (0.01, 0.1))
    assert (few.body_lr, few.base_lr, many.body_lr, many.base_lr) == (0.03, 0.08, 0.01, 0.1)
    few, many = (semi["swav"]().fitted("SwAV", "resnet50", share) for share in (0.01, 0.1))
    assert (few.body_lr, few.base_lr, many.body_lr, many.base_lr, many.gamma) == (0.02, 5, 0.01, 0.2, 0.2)
    byol = semi["byol"]()
    assert [byol.base_lr * rate for rate in byol.rates] == pytest.approx([0.005, 0.01, 0.02, 0.05, 0.1])
    base, large = (tuned["mae"]().fitted("MAE", f"timm:vit_{size}_patch16_224", 1.0) for size in ("base", "large"))
    assert (base.layer_decay, base.base_lr, base.drop_path) == (0.65, 5e-4, 0.1)
    assert (large.layer_decay, large.base_lr, large.drop_path, large.epochs) == (0.75, 1e-3, 0.2, 50)
    # MAE's least rate is 1e-6, whatever the peak: 1024 / 256 times the base rate.
    assert base.final_lr * 4 * base.base_lr == pytest.approx(1e-6)
    assert large.final_lr * 4 * large.base_lr == pytest.approx(1e-6)


# ---- what is refused


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"epochs": 0}, "epochs is 0; it must be an integer of at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be an integer of at least 2"),
        ({"base_lr": -1.0}, "base_lr is -1.0"),
        ({"base_lr": math.nan}, "base_lr is nan"),
        ({"base_rl": 1.0}, r"no setting 'base_rl'. Did you mean 'base_lr'\?"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; choose one of sgd, lars, adamw"),
        ({"rates": [1.0]}, "a choice needs at least two"),
        ({"rates": [0.0, 1.0]}, "factors on the learning rate are above 0"),
        ({"milestones": [0.8, 0.6]}, "write rising fractions"),
        ({"smoothing": 1.0}, "smoothing is 1.0; it must lie from 0 to below 1"),
        ({"epochs": "many"}, "a setting is of a wrong type"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(changed, line):
    with pytest.raises(ConfigError, match=line):
        named("linear", "moco").changed(changed)


def test_a_wrong_protocol_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"no protocol named 'mocov2' for linear. Did you mean 'mocov3'\?"):
        named("linear", "mocov2")
    with pytest.raises(ConfigError, match="linear-moco v1 is a protocol of massrl linear, not of semi"):
        named("semi", named("linear", "moco"))


def test_a_protocol_may_be_named_as_it_is_listed():
    assert named("linear", "linear-moco") == named("linear", "moco") and named("semi", "semi").name == "semi"


def test_changed_settings_are_told_beside_the_protocols_own():
    moco = named("linear", "moco")
    assert moco.differs(moco) == {}
    assert moco.differs(moco.changed({"epochs": 3, "base_lr": None})) == {"epochs": [100, 3]}


def test_rates_make_a_protocol_choose_and_none_end_the_choice():
    assert named("semi", "vicreg").changed({"rates": [0.5, 2.0]}).selection == "held-out"
    assert named("linear", "byol").changed({"rates": []}).selection == "fixed"


# ---- learning rates


def test_the_schedules_are_their_formulas():
    total, per_epoch = 200, 20
    step = named("linear", "moco").changed({"epochs": 10})
    values = [factor_of_step(step, at, total, per_epoch) for at in (0, 119, 120, 159, 160, 199)]
    assert values == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    swav = named("semi", "swav")  # at 12 and 16 of 20 epochs
    assert [factor_of_step(swav, 10 * at, 200, 10) for at in (11, 12, 15, 16, 19)] == pytest.approx(
        [1, 0.2, 0.2, 0.04, 0.04]
    )
    vicreg = named("linear", "vicreg")
    for at in (0, 50, 100, 199):
        assert factor_of_step(vicreg, at, total, 2) == pytest.approx(0.5 * (1 + math.cos(math.pi * at / total)))
    mae = named("finetune", "mae").changed({"epochs": 10})  # 5 epochs of warm-up; ends at 1e-6 of a peak of 2e-3
    assert [factor_of_step(mae, at, 200, 20) for at in (0, 49, 99)] == pytest.approx([0.01, 0.5, 1.0])
    assert factor_of_step(mae, 150, 200, 20) == pytest.approx(5e-4 + (1 - 5e-4) / 2)


@pytest.mark.parametrize(("scaling", "times"), [("linear", 4.0), ("sqrt", 2.0), ("none", 1.0)])
def test_body_and_head_have_rates_of_their_own_and_both_are_scaled_by_the_batch(scaling, times):
    training = named("semi", "vicreg").changed({"lr_scaling": scaling})
    body = make_body(massrl.SimCLR(**TINY), "online", training)
    head = make_head(training, body.num_features, 10, seed=0)
    made = optimizer(training, groups(training, body, [head], [3.0]), images=1024)
    for part, rate in (("body", 0.01), ("head", 0.1)):
        found = [group["lr"] for group in made.param_groups if group["part"] == part]
        assert found == pytest.approx([3 * times * rate] * len(found)) and found
    held = [p for group in made.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in [*body.parameters(), *head.parameters()]} and len(held) == len(
        {id(p) for p in held}
    )


def test_a_frozen_body_has_no_group_and_each_head_its_own_rate():
    training = named("linear", "byol")
    body = make_body(massrl.SimCLR(**TINY), "online", training)
    heads = [make_head(training, body.num_features, 10, seed=0) for _ in training.rates]
    found = groups(training, body, heads, training.rates)
    assert {g["part"] for g in found} == {"head"}
    assert sorted({g["peak"] for g in found}) == pytest.approx([0.05, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("optimiser", ["sgd", "lars", "adamw"])
def test_vectors_decay_with_sgd_only_and_lars_adapts_matrices_only(optimiser):
    training = named("linear", "vicreg").changed({"optimizer": optimiser, "weight_decay": 0.5})
    head = make_head(training, 4, 3, seed=0)
    made = optimizer(training, groups(training, nn.Identity(), [head], [1.0]), images=256)
    decay = {p.ndim: g["weight_decay"] for g in made.param_groups for p in g["params"]}
    assert decay == {2: 0.5, 1: 0.5 if optimiser == "sgd" else 0.0}
    if optimiser == "lars":
        assert {p.ndim: g["always_adapt"] for g in made.param_groups for p in g["params"]} == {2: True, 1: False}


# ---- layer decay


@pytest.mark.parametrize(("name", "args"), [("vit_tiny_patch16_224", VIT["backbone_args"]), ("resnet18", {})])
def test_layer_decay_is_timms_of_the_network_with_its_classifier(name, args):
    training = named("finetune", "mae").changed({"drop_path": 0.0, "layer_decay": 0.5})
    body = make_body(massrl.SimCLR(backbone=f"timm:{name}", backbone_args=args), "online", training)
    head = make_head(training, body.num_features, 10, seed=0)
    ours = {id(p): (g["peak"], g["weight_decay"]) for g in groups(training, body, [head], [1.0]) for p in g["params"]}
    named_ours = {n: ours[id(p)] for n, p in body.named_parameters()}
    named_ours |= {("fc." if name == "resnet18" else "head.") + n: ours[id(p)] for n, p in head.named_parameters()}

    model = timm.create_model(name, num_classes=10, **args)
    by_id = {id(p): n for n, p in model.named_parameters()}
    without = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    theirs = param_groups_layer_decay(model, training.weight_decay, without, layer_decay=0.5)
    expected = {
        by_id[id(p)]: (training.body_lr * g["lr_scale"], g["weight_decay"]) for g in theirs for p in g["params"]
    }
    head_names = {n for n in expected if n.startswith(("head.", "fc."))}
    for n in head_names:  # the head has a rate of its own, and SimCLR's body and head have the same one here
        assert named_ours[n][0] == pytest.approx(training.base_lr)
    assert {n: v for n, v in named_ours.items() if n not in head_names} == {
        n: (pytest.approx(v[0]), v[1]) for n, v in expected.items() if n not in head_names
    }


def test_layer_decay_and_drop_path_are_refused_where_the_network_does_not_have_them():
    mae = named("finetune", "mae")
    with pytest.raises(ConfigError, match=r"drop_path is 0.1, and 'tiny_resnet' takes none.*--drop_path 0"):
        make_body(massrl.SimCLR(**TINY), "online", mae)
    body = make_body(massrl.SimCLR(**TINY), "online", mae.changed({"drop_path": 0.0}))
    with pytest.raises(ConfigError, match="TinyResNet does not tell its layers apart"):
        groups(mae, body, [make_head(mae, body.num_features, 3, 0)], [1.0])


def test_drop_path_keeps_the_weights_and_drops_up_to_the_rate():
    method = massrl.SimCLR(**VIT)
    body = make_body(method, "online", named("finetune", "mae").changed({"drop_path": 0.3}))
    rates = [block.drop_path1.drop_prob for block in body.blocks if hasattr(block.drop_path1, "drop_prob")]
    assert rates == pytest.approx([0.15, 0.3])  # of three blocks, from 0
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(body.eval()(x), method.eval().encoder(x))


# ---- bodies and heads


def test_a_projector_head_takes_the_projectors_first_layer_into_the_body():
    method = massrl.SimCLR(**TINY, hidden_dim=24)
    body = make_body(method, "online", named("semi", "simclr")).eval()
    assert body.num_features == 24
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(body(x), method.eval().projector[:3](method.backbone(x)))
    assert not {id(p) for p in body.parameters()} & {id(p) for p in method.parameters()}, "a copy"
    with pytest.raises(ConfigError, match="Supervised has no projector with a hidden layer"):
        make_body(massrl.Supervised(**TINY), "online", named("semi", "simclr"))
    kept = make_body(
        massrl.SimCLRv2(**TINY, hidden_dim=20), "online", named("semi", "simclr")
    )  # has that layer already
    assert kept.num_features == 20


@pytest.mark.parametrize("branch", ["online", "target"])
def test_a_body_is_the_network_of_the_branch_and_can_be_trained(branch):
    method = massrl.BYOL(**TINY, hidden_dim=16)
    with torch.no_grad():
        for p in method.target.parameters():
            p.add_(1.0)
    projector = method.projector if branch == "online" else method.target.parts["projector"]
    body = make_body(method, branch, named("semi", "simclr")).eval()
    assert all(p.requires_grad for p in body.parameters())
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(body(x), projector.eval()[:3](method.backbone_of(branch).eval()(x)))


@pytest.mark.parametrize(
    ("init", "spread"), [("normal", 0.01), ("truncated", 0.01), ("zero", 0.0), ("torch", 1 / math.sqrt(3 * 400))]
)
def test_a_head_starts_as_the_protocol_says_and_depends_on_the_seed_alone(init, spread):
    training = named("linear", "moco").changed({"init": init})
    first, again, other = (make_head(training, 400, 100, seed) for seed in (0, 0, 1))
    assert torch.equal(first.weight, again.weight)
    assert init == "zero" or not torch.equal(first.weight, other.weight)
    assert float(first.weight.detach().std()) == pytest.approx(
        spread, rel=0.02
    )  # 40,000 weights: deviation within 0.4 %
    assert init == "torch" or not first.bias.any()
    normed = make_head(named("linear", "mae"), 8, 3, seed=0)
    assert isinstance(normed[0], nn.BatchNorm1d) and not normed[0].affine and normed[0].eps == 1e-6


@pytest.mark.parametrize("n", [2, 5, 10, 257, 500, 501, 1300])
@pytest.mark.parametrize("batch", [2, 3, 256])
def test_an_epoch_has_as_many_batches_as_full_ones_and_a_last_one_and_leaves_out_one_image_at_most(n, batch):
    size, drop_last = batches(n, min(batch, n), 1)
    count = n // size if drop_last else -(-n // size)
    assert size <= batch and n - count * size <= 1
    assert count == -(-n // min(batch, n)) or drop_last
    assert drop_last == (n % size == 1)


def test_several_processes_have_equal_batches():
    assert batches(501, 256, 2) == (125, True)
    with pytest.raises(ConfigError, match="3 training images are too few for 4 processes"):
        batches(3, 3, 4)
