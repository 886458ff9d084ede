"""massrl.simple: PySSL's classes, over the methods of massrl.methods."""

import copy
import inspect
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from data_loading.batch import Batch
from massrl import methods, simple
from massrl.nn import Target
from simple_models import FEATURES, N, backbone, differing, inputs, model, train

TAIL = {"image_size": 224, "mean": (0.5,), "std": (0.229, 0.224, 0.225)}
# PySSL's arguments and defaults, but for those that its papers have otherwise: (PySSL's, the paper's).
ARGUMENTS = {
    "BarlowTwins": {"projection_dim": 8192, "hidden_dim": 8192, "lamda": 0.005},
    "BYOL": {"projection_dim": 256, "hidden_dim": 4096, "tau": 0.996},
    "DINO": {
        "projection_dim": (256, 65536),
        "hidden_dim": 2048,
        "bottleneck_dim": 256,
        "temp_s": 0.1,
        "temp_t": (0.5, 0.04),
        "m": (0.5, 0.9),
        "lamda": 0.996,
        "num_crops": 6,
    },
    "MoCo": {"projection_dim": 128, "K": 65536, "m": 0.999, "temperature": 0.07},
    "MoCoV2": {"projection_dim": 128, "K": 65536, "m": 0.999, "temperature": (0.07, 0.2)},
    "MoCoV3": {"projection_dim": 256, "hidden_dim": 2048, "temperature": 0.5, "m": 0.999},
    "SimCLR": {"projection_dim": 128, "temperature": 0.5},
    "SimCLRv2": {"projection_dim": 128, "temperature": 0.5},
    "SimSiam": {"projection_dim": 2048, "hidden_dim_proj": 2048, "hidden_dim_pred": 512},
    "SupCon": {"projection_dim": 128, "temperature": 0.07},
    "SwAV": {
        "projection_dim": 128,
        "hidden_dim": 2048,
        "temperature": 0.1,
        "epsilon": 0.05,
        "sinkhorn_iterations": 3,
        "num_prototypes": 3000,
        "queue_length": (64, 3840),
        "use_the_queue": True,
        "num_crops": 6,
    },
}
NAMES = list(ARGUMENTS)


def test_the_eleven_are_there():
    assert sorted(simple.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_pyssls_in_its_order(name):
    parameters = list(inspect.signature(getattr(simple, name)).parameters.values())
    usual = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in usual] == ["backbone", "feature_size", *ARGUMENTS[name], *TAIL]
    for p in usual[2:]:
        expected = {**ARGUMENTS[name], **TAIL}[p.name]
        changed = isinstance(expected, tuple) and p.name not in TAIL
        assert p.default == (expected[1] if changed else expected), p.name
        if changed:  # the docstring owns up to it
            assert p.name in getattr(simple, name).__doc__ and str(expected[0]) in getattr(simple, name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_attributes_that_reach_the_method(name):
    one = model(name)
    for argument in ARGUMENTS[name]:
        assert getattr(one, argument) is not None
        ours = one.names.get(argument, argument)
        if ours in one.method.init_args:
            assert getattr(one, argument) == one.method.init_args[ours], argument


def test_the_norm_of_dinos_head_reaches_the_method():
    norms = [
        [part for part in model("DINO", head_norm=on).method.projector.modules() if isinstance(part, nn.BatchNorm1d)]
        for on in (False, True)
    ]
    assert not norms[0] and norms[1]


def test_a_subclass_with_arguments_of_its_own_is_made_as_its_base():
    class Small(simple.MoCo):
        def __init__(self, net):
            super().__init__(net, FEATURES, K=40, temperature=0.3, image_size=16)

    one = Small(backbone())
    assert (one.temperature, one.K, one.method.ema_end) == (0.3, 40, one.m) and one.view_set.size == 16


def test_a_setting_that_is_changed_later_acts():
    one, (images,) = model("SimCLR"), inputs("SimCLR")
    one.eval()
    before = one(images)
    one.temperature = 5.0
    assert one.method.tau == 5.0 and not torch.equal(one(images), before)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_methods_own_on_the_views(name):
    one = model(name)
    images, *labels = inputs(name)
    views = one.augment(images)
    expected = copy.deepcopy(one).method.loss(Batch.from_views(views, *labels))
    loss = one(images, *labels)
    assert loss.shape == () and torch.equal(loss, expected)
    loss.backward()
    assert all(p.grad is not None for p in one.backbone.parameters())  # PySSL's SwAV has none
    assert type(one.method) is getattr(methods, name)


@pytest.mark.parametrize("name", NAMES)
def test_views_are_of_the_methods_needs_and_normalised(name):
    one = model(name, mean=(0.4, 0.5, 0.6), std=0.2)
    views = one.augment(torch.full((N, 3, 20, 24), 0.5))
    sizes = [tuple(view.shape[2:]) for view in views]
    assert sizes == [(16, 16)] * 2 + ([(6, 6)] * 2 if name in ("DINO", "SwAV") else [])  # int(16 * 3 / 7) is 6
    plain = model(name, mean=0.0, std=1.0).augment(torch.full((N, 3, 20, 24), 0.5))
    mean = torch.tensor([0.4, 0.5, 0.6])[:, None, None]
    for view, bare in zip(views, plain, strict=True):
        assert bare.min() >= 0 and bare.max() <= 1
        torch.testing.assert_close(view, (bare - mean) / 0.2, rtol=0, atol=1e-5)


def test_images_of_one_batch_are_augmented_each_by_itself():
    one = model("SimCLR")
    (view, _) = one.augment(torch.rand(1, 3, 20, 24).expand(N, -1, -1, -1))
    assert len({image.numpy().tobytes() for image in view}) == N


def test_numbers_are_drawn_by_seed_and_step_and_no_random_state_is_touched():
    (images,) = inputs("SimCLR")
    one, same, other = model("SimCLR"), model("SimCLR"), model("SimCLR", seed=1)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = one.augment(images)
    assert all(map(torch.equal, first, same.augment(images)))
    one(images)
    assert torch.equal(torch.get_rng_state(), torch_state) and (np.random.get_state()[1] == numpy_state).all()
    assert not torch.equal(one.augment(images)[0], first[0])  # the next step
    assert not torch.equal(other.augment(images)[0], first[0])


@pytest.mark.parametrize("name", NAMES)
def test_copies_go_on_as_the_model_does(name):
    one = model(name)
    train(one, name, 2)  # the target has yet to follow the second step
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    loaded = model(name, weights=7)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    copies = [copy.deepcopy(one), pickle.loads(pickle.dumps(one)), loaded]
    expected = train(one, name, 3, first=2)
    for other in copies:
        assert train(other, name, 3, first=2) == expected
        assert differing(one.state_dict(), other.state_dict()) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_parameter_is_twice_in_the_state(name):
    one = model(name)
    state = one.state_dict()
    assert len({x.data_ptr() for x in state.values() if x.numel()}) == sum(x.numel() > 0 for x in state.values())
    assert len(list(one.parameters())) == sum(1 for _ in one.method.parameters())


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_loss_in_eval_mode_changes_nothing_and_is_the_same_again(name, grad):
    one = model(name)
    train(one, name, 2)
    assert one.eval() is one and not one.backbone.training and one.train() is one and one.backbone.training
    one.eval()
    direct = {k: v.clone() for k, v in nn.Module.state_dict(one).items()}  # without the wrapper's catching up
    with torch.set_grad_enabled(grad):
        first, second = one(*inputs(name)), one(*inputs(name))
    assert torch.equal(first, second)
    assert differing(nn.Module.state_dict(one), direct) == []


@pytest.mark.parametrize("name", NAMES)
def test_under_no_grad_only_batch_norm_changes(name):
    one = model(name)
    train(one, name, 2)
    direct = {k: v.clone() for k, v in nn.Module.state_dict(one).items()}
    with torch.no_grad():
        one(*inputs(name))
    changed = differing(nn.Module.state_dict(one), direct)
    assert all(key.endswith(("running_mean", "running_var", "num_batches_tracked")) for key in changed), changed
    assert one.method.training


@pytest.mark.parametrize("name", NAMES)
def test_encoder_gives_projections_and_backbone_features(name):
    one = model(name).eval()
    x = torch.randn(5, 3, 16, 16)
    h = one.backbone(x)
    assert h.shape == (5, FEATURES)
    assert one.encoder(x).shape == (5, one.projection_dim)
    if name != "DINO":
        assert torch.equal(one.encoder(x), one.projector(h))
    assert not one.encoder.training and one.train().encoder.training
    assert all(key.startswith(("0.", "1.", "2.")) for key in one.encoder.state_dict())


@pytest.mark.parametrize(
    ("name", "attributes"),
    {
        "BYOL": ["online_encoder", "online_predictor", "target_encoder"],
        "DINO": ["student", "teacher", "head_student", "head_teacher", "center"],
        "MoCo": ["encoder_q", "encoder_k", "queue", "queue_ptr"],
        "MoCoV2": ["encoder_q", "encoder_k", "queue", "queue_ptr"],
        "MoCoV3": ["predictor", "encoder_q", "encoder_k"],
        "SimSiam": ["predictor"],
        "SwAV": ["prototypes", "queue"],
    }.items(),
)
def test_the_other_attributes_of_pyssl_are_there(name, attributes):
    one = model(name)
    train(one, name, 3)
    shapes = {"center": (1, 64), "queue": (2, 16, 128) if name == "SwAV" else (128, 40), "queue_ptr": (1,)}
    for attribute in attributes:
        value = getattr(one, attribute)
        assert isinstance(value, nn.Module) or tuple(value.shape) == shapes[attribute], attribute
    if "queue_ptr" in attributes:
        assert int(one.queue_ptr) == 3 * N % 40  # a batch need not divide K
    x = torch.randn(4, 3, 16, 16)
    if isinstance(one.method.target, Target):
        target = {"BYOL": "target_encoder", "DINO": "teacher"}.get(name, "encoder_k")
        assert getattr(one, target)(x).shape == one.encoder(x).shape
    if name == "SwAV":
        assert model(name, use_the_queue=False).queue.shape == (2, 0, 128)


@pytest.mark.parametrize("name", ["DINO", "SwAV"])
def test_prototypes_rest_for_freeze_steps(name):
    one = model(name, freeze_steps=2)
    prototypes = one.method.prototypes.weight
    seen = [torch.nn.functional.normalize(prototypes.detach(), dim=1).clone()]
    optimiser = torch.optim.SGD(one.parameters(), 0.5, momentum=0.9, weight_decay=1e-3)
    for step in range(4):
        train(one, name, 1, first=step, optimiser=optimiser)
        assert prototypes.requires_grad
        seen.append(torch.nn.functional.normalize(prototypes.detach(), dim=1).clone())
    moved = [float((b - a).abs().max()) for a, b in zip(seen, seen[1:], strict=False)]
    assert max(moved[:2]) < 1e-6 < min(moved[2:])  # weight decay alters their norm alone


def test_a_view_set_of_ones_own_takes_the_place_of_the_methods():
    one = model("SimCLR", views="simclr32")
    assert [view.strategy for view in one.view_set.views] == ["simclr32", "simclr32"] and one.view_set.size == 16


def test_dino_and_swav_go_without_local_views():
    for name in ("DINO", "SwAV"):
        assert np.isfinite(train(model(name, num_crops=0), name, 1)[0])


def test_num_crops_is_that_of_a_view_set_of_ones_own():
    assert model("DINO", views={"strategies": ["dino"], "local": 3, "local_size": 6}).num_crops == 3


@pytest.mark.parametrize("mean", [np.full(3, 0.4), torch.full((3,), 0.4), [0.4] * 3, 0.4])
def test_mean_may_be_any_row_of_numbers(mean):
    assert model("SimCLR", mean=mean).normalise.mean == pytest.approx((0.4,) * 3)


def test_a_compiled_model_gives_the_same_and_its_compiled_backbone_runs_compiled():
    calls = []

    def backend(graph, _):
        return lambda *args: calls.append(1) or graph(*args)

    one, plain = model("BYOL"), model("BYOL")
    one.backbone.compile(backend=backend)
    compiled = torch.compile(one, backend=backend)
    for step in range(2):
        images = inputs("BYOL", seed=step)
        assert torch.equal(compiled(*images), plain(*images))
    assert len(calls) >= 4  # two views a step


def test_the_model_moves_to_another_type_and_device():
    one = model("BYOL").double()
    loss = one(inputs("BYOL")[0])
    assert loss.dtype == torch.float64 and one.draws == 1
    if torch.cuda.is_available():
        one = model("MoCo").to("cuda")
        assert one(inputs("MoCo")[0].cuda()).device.type == "cuda"


def test_the_users_backbone_stays_as_it_is():
    mine = backbone()
    one = simple.SimCLR(mine, FEATURES, image_size=16)
    assert one.backbone is mine and mine[0].weight.is_contiguous()
