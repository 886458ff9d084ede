"""The flags of speed change the time, not the training: channels_last, compile, bfloat16, fused optimisers, float16."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from drawn import Drawn, SaveEachEpoch, same_state, small, trainer
from massrl import optim
from massrl.methods import load
from massrl.methods.base import Method, Needs
from massrl.optim import OptimConfig

CNN = {"backbone": "resnet18", "backbone_args": {"stem": "cifar"}}
VIT = {
    "backbone": "timm:vit_tiny_patch16_224",
    "backbone_args": {"img_size": 8, "patch_size": 2, "depth": 1, "embed_dim": 24},
}


class Losses(pl.Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, *_):
        self.values.append(float(trainer.callback_metrics["loss"]))


def fitted(name: str, views=2, epochs: int = 1, batches: int = 3, callbacks=(), plugins=None, **args):
    """(method, losses of its steps, trainer) after a short run."""
    method, losses = small(name, **args), Losses()
    run = trainer(epochs, callbacks=[losses, *callbacks], plugins=plugins)
    run.fit(method, Drawn(views, batches))
    return method, losses.values, run


def close(a: nn.Module, b: nn.Module, **tolerance) -> None:
    torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), **tolerance)


# ---- channels_last


def memory_formats(module: nn.Module) -> set[bool]:
    """Whether each kernel of more than one pixel lies in channels-last order."""
    kernels = [p for p in module.parameters() if p.ndim == 4 and p.shape[2] > 1 and p.shape[1] > 1]
    return {p.is_contiguous(memory_format=torch.channels_last) for p in kernels}


def test_channels_last_holds_for_the_online_and_the_target_backbone_through_training_and_loading(tmp_path):
    method, _, run = fitted("BYOL", **CNN, batches=1)
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    for one in (method, load(tmp_path / "a.ckpt"), copy.deepcopy(method)):
        assert memory_formats(one.backbone) == memory_formats(one.target.parts["backbone"]) == {True}
    assert memory_formats(small("BYOL", **CNN, channels_last=False).backbone) == {False}


@pytest.mark.parametrize("net", [CNN, VIT], ids=["cnn", "vit"])
def test_channels_last_gives_the_numbers_of_the_other_format_and_their_weights_are_exchangeable(net):
    batch = next(iter(Drawn(2)))
    batch = Batch.from_views([view.double() for view in batch.views], batch.labels)
    a, b = (small("BYOL", **net, channels_last=last).double().train() for last in (True, False))
    losses = [method.loss(batch) for method in (a, b)]
    grads = []
    for method, loss in zip((a, b), losses, strict=True):
        grads.append(torch.autograd.grad(loss, [p for p in method.parameters() if p.requires_grad]))
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-10)  # float64 sums in another order
    b.load_state_dict(a.state_dict())
    assert same_state(a, b) and memory_formats(b.backbone) <= {False}


# ---- compile


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without code generation: graphs are traced as always, and run in Python. Quick."""
    made = []

    def compile(self, *args, **kwargs):
        made.append(self)
        self._compiled_call_impl = torch.compile(self._call_impl, backend="eager")

    torch._dynamo.reset()
    monkeypatch.setattr(nn.Module, "compile", compile)
    return made


class TwoSizes(Method):
    """Global and local views through one backbone, as DINO."""

    needs = Needs(global_views=2, local_views=True)

    def __init__(self, backbone="tiny_resnet", **common):
        super().__init__(backbone, **common)
        self.projector = nn.Linear(self.num_features, 4)
        self.target = self.make_target(0.9)

    targets = ("backbone", "projector")

    def loss(self, batch):
        z = torch.stack(self.embed(batch.views))  # (V, B, D)
        with torch.no_grad():
            z_target = torch.stack(self.embed(batch.global_views, through=self.target)).mean(0)
        return (z - z_target).square().mean()


def two_sizes(compile: bool, bn_over: str, net: dict):
    torch.manual_seed(0)
    method, losses = TwoSizes(**net, compile=compile, bn_over=bn_over, optim=OptimConfig(base_lr=0.5)), Losses()
    trainer(2, callbacks=[losses]).fit(method, Drawn((2, 3), 2, local_size=6))
    return method, losses.values


def test_compile_leaves_losses_checkpoints_and_evaluation_as_they_are(traced, tmp_path):
    plain, first, _ = fitted("BYOL", epochs=2)
    method, second, run = fitted("BYOL", epochs=2, compile=True, callbacks=[SaveEachEpoch(tmp_path)])
    assert traced == [method.backbone, method.target.parts["backbone"]]
    # Compiled code differs in the last digits: what is evaluated after the run is what the checkpoint would give.
    assert [backbone._compiled_call_impl for backbone in traced] == [None, None]
    assert first == pytest.approx(second, rel=1e-5)
    close(method, plain, rtol=1e-4, atol=1e-5)
    loaded, copied = load(tmp_path / "1.ckpt"), copy.deepcopy(method)
    assert loaded.compiled and same_state(loaded, method) and same_state(copied, method)
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(loaded(x), method.eval()(x)) and torch.equal(copied.eval()(x), method(x))
    resumed = small("BYOL", compile=True)
    trainer(2).fit(resumed, Drawn(2, 3), ckpt_path=tmp_path / "0.ckpt", weights_only=True)
    assert same_state(resumed, method)


@pytest.mark.parametrize("bn_over", ["view", "all"])
@pytest.mark.parametrize("net", [{"backbone_args": {"width": 4}}, VIT], ids=["cnn", "vit"])
def test_compile_takes_views_of_two_sizes_without_a_graph_for_every_batch(traced, net, bn_over):
    torch._dynamo.utils.counters.clear()
    plain, first = two_sizes(False, bn_over, net)
    method, second = two_sizes(True, bn_over, net)
    assert first == pytest.approx(second, rel=1e-5)
    # Online and target, each once for its first size and once with the size left open at the second; no graph is left
    # half in Python, and four batches need no more graphs than one.
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.long
@pytest.mark.parametrize("net", [CNN, VIT], ids=["cnn", "vit"])
def test_compiled_code_gives_the_losses_of_the_other(net, tmp_path):
    torch._dynamo.reset()
    # BatchNorm of few small images magnifies rounding, by how much depends on the processor: a small step keeps the
    # second loss close, and still moves it by more than the tolerance.
    optim = OptimConfig(name="sgd", base_lr=0.05, warmup_epochs=0)
    plain, first, _ = fitted("BYOL", **net, batches=2, optim=optim)
    method, second, run = fitted("BYOL", **net, batches=2, optim=optim, compile=True)
    assert first[0] == pytest.approx(second[0], rel=1e-5)  # sums of float32 in another order
    assert first[1] == pytest.approx(second[1], rel=1e-4)
    assert abs(first[1] - first[0]) > 3e-3 * first[0]
    run.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert same_state(load(tmp_path / "a.ckpt"), method)


# ---- fused optimisers, half precision


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_fused_optimiser_makes_the_steps_of_the_other(name, monkeypatch):
    config = OptimConfig(name=name, base_lr=0.1, weight_decay=0.1)
    fused, first, run = fitted("BYOL", optim=config, batches=4)
    assert run.optimizers[0].defaults["fused"]
    make = optim.optimizer
    monkeypatch.setattr(optim, "optimizer", lambda config, groups, fused: make(config, groups, fused=False))
    plain, second, run = fitted("BYOL", optim=config, batches=4)
    assert not run.optimizers[0].defaults["fused"]
    assert first == pytest.approx(second, rel=1e-5)
    close(fused, plain, rtol=1e-4, atol=1e-5)  # float32 rounding; Adam divides by small roots


def test_lars_of_many_tensors_at_once_makes_the_steps_of_one_after_the_other():
    config = OptimConfig(name="lars", base_lr=1.0, momentum=0.9, trust=0.01, trust_clip=True, weight_decay=0.1)
    methods = [small("BYOL", optim=config) for _ in range(2)]
    for method, foreach in zip(methods, (True, False), strict=True):
        run = method.configure_optimizers()
        for group in run.param_groups:
            group["foreach"], group["lr"] = foreach, 0.1
        draw = torch.Generator().manual_seed(0)
        for _ in range(3):
            for p in (p for p in method.parameters() if p.requires_grad):
                p.grad = torch.randn(p.shape, generator=draw)
            run.step()
    close(*methods, rtol=1e-5, atol=1e-6)


def float16() -> MixedPrecision:
    """Training in float16 with a scaled loss, which Lightning offers for GPUs alone, on the CPU."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))


class Norms(pl.Callback):
    """The largest gradient norm of a parameter, before the method's own hook and in the optimiser's step."""

    def __init__(self):
        self.before, self.after = [], []

    def norm(self, method) -> float:
        return max(float(p.grad.norm()) for p in method.parameters() if p.grad is not None)

    def on_before_optimizer_step(self, trainer, method, optimizer):
        self.before.append(self.norm(method))
        if not self.after:
            optimizer.register_step_pre_hook(lambda *_: self.after.append(self.norm(method)))


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_gradients_are_clipped_after_the_float16_scale_is_out_of_them(name):
    config = OptimConfig(name=name, base_lr=1e-3, clip_norm=0.01)
    found = {}
    for plugin in (float16(), None):
        norms = Norms()
        _, losses, run = fitted("SimCLR", optim=config, callbacks=[norms], plugins=plugin and [plugin])
        found[plugin is None] = norms.before[0], losses[0]
        assert not (plugin and run.optimizers[0].defaults.get("fused"))
        assert norms.before[0] > 1 and norms.after[0] == pytest.approx(0.01, rel=1e-3)
    assert found[False] == pytest.approx(found[True], rel=0.02)  # 11 bits of mantissa


def test_lightnings_own_clipping_goes_with_bfloat16():
    for precision in ("32-true", "bf16-mixed"):
        norms = Norms()
        run = trainer(callbacks=[norms], precision=precision, gradient_clip_val=0.01)
        run.fit(small("SimCLR", optim=OptimConfig(name="adamw", base_lr=1e-3)), Drawn(2, 2))
        assert norms.before[0] > 1 and norms.after[0] <= 0.0101


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true"])
def test_weights_of_another_type_than_float32_are_refused_with_what_to_take(precision):
    with pytest.raises(ConfigError, match=f"trainer.precision is {precision}; .* take bf16-mixed, 16-mixed or 32-true"):
        trainer(precision=precision).fit(small("BYOL"), Drawn(2, 2))


def test_a_method_that_was_made_bfloat16_is_refused_where_it_has_a_target():
    method, data = small("BYOL").bfloat16(), Drawn(2, 2)
    data.batches = [Batch.from_views([x.bfloat16() for x in b.views]) for b in data.batches]
    with pytest.raises(ConfigError, match="the target network is bfloat16, too coarse"):
        trainer().fit(method, data)


# ---- what a backbone may not be


def test_a_backbone_that_does_not_pool_its_features_is_refused_before_the_first_step():
    net = nn.Conv2d(3, 6, 3)
    net.num_features = 6
    with pytest.raises(ConfigError, match=r"makes a tensor \(1, 6, 6, 6\) of one image, where a method needs"):
        trainer().fit(small("SimCLR", backbone=net, backbone_args=None), Drawn(2, 2))


def test_local_views_that_a_vit_cannot_cut_into_patches_are_refused_with_what_to_do():
    method = TwoSizes(**VIT)
    with pytest.raises(ConfigError, match=r"local views of \(5, 5\) pixels .* a multiple of its patch_size"):
        trainer().fit(method, Drawn((2, 2), 2, local_size=5))
