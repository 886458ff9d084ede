"""A user's own op and strategy, one file each: the page docs/own_ops.md is run as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from betons import write
from data_loading import Loader, Strategy, ViewSet
from data_loading.errors import ViewError
from data_loading.ops import OwnOp
from data_loading.rng import uniform
from data_loading.views.plan import Plan
from data_loading.views.sampling import Drawer
from helpers import CHECKOUT
from massrl.report.pictures import draw_views

PAGE = (CHECKOUT / "docs" / "own_ops.md").read_text()


@pytest.fixture
def files(monkeypatch, tmp_path):
    """The files of the page, in the current folder, beside a file of images."""
    for name, text in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", PAGE, re.M | re.S):
        Path(name).write_text(text)
    write(Path("train.beton"), n=16, side=(40, 60))
    monkeypatch.syspath_prepend(tmp_path)


class Darker(OwnOp):
    """Multiply by a factor drawn from `low` to 1, and add what a key says."""

    numbers = ("factor",)

    def __init__(self, low: float = 0.2, p: float = 1.0, **common):
        super().__init__(p, **common)
        self.low = low

    def params(self) -> list[float]:
        return [self.low]

    @staticmethod
    def draw(params, state, arg, word):
        arg[0] = uniform(state, params[0], 1.0)

    @staticmethod
    def kernel(image, scratch, arg, word):
        for c in range(image.shape[0]):
            for y in range(image.shape[1]):
                for x in range(image.shape[2]):
                    image[c, y, x] *= arg[0]


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (40, 50, 3)).astype(np.uint8)


def view_set(op):
    return ViewSet([Strategy("plain", [[]]), Strategy("own", [[op]])], crops=1, size=24)


def test_the_page_runs_from_python_and_from_yaml(files):
    done = subprocess.run([sys.executable, "-W", "error", "use.py"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    massrl = [sys.executable, "-m", "massrl"]
    views = ["--model", "SimCLR", "--model.backbone", "tiny_resnet", "--data.size", "16", "--data.batch_size", "4"]
    quick = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.accelerator", "cpu"]
    train = [*massrl, "pretrain", "--config", "views.yaml", "--data.train", "train.beton", *views, *quick]
    done = subprocess.run(train, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    (config,) = Path("runs").glob("*/config.yaml")
    kept = yaml.safe_load(config.read_text())["data"]["views"]["strategies"]
    assert kept[1] == {"class_path": "corners.corners", "init_args": {"strength": 0.8}}
    replay = [*massrl, "data", "replay", "train.beton", "--config", str(config), "--index", "3"]
    done = subprocess.run(replay, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and "vignette 0." in done.stdout, done.stderr


def test_an_own_op_is_drawn_kept_in_the_plan_and_run():
    views = view_set(Darker(0.4))
    plan = Drawer(views, 0)(0, np.zeros(1, np.int64), np.array([40]), np.array([50]))
    (factor,) = plan.number("darker", "factor")[1]
    assert 0.4 <= factor <= 1.0 and np.isnan(plan.number("darker", "factor")[0, 0])
    alone = ViewSet([Strategy("own", [[]])], crops=1, size=24)  # the same stream: the same box
    _, (before,) = draw_views(picture(), alone)
    _, (_, after) = draw_views(picture(), views)
    assert np.abs(after - before * factor).max() <= 1.02  # both are rounded once; planes keep 128ths of a level


def test_the_reference_runs_the_same_kernel_as_python(monkeypatch):
    compiled = draw_views(picture(), view_set(Darker(0.4)))[1]
    monkeypatch.setenv("MASSRL_REFERENCE", "1")
    for ours, reference in zip(compiled, draw_views(picture(), view_set(Darker(0.4)))[1], strict=True):
        assert np.abs(ours.astype(int) - reference).max() <= 1


def test_threads_draw_the_same_with_an_own_op(tmp_path):
    path, views = write(tmp_path / "a.beton"), view_set(Darker(0.4))
    one, three = ([b.blocks for b in Loader(path, 10, views, num_workers=n, dtype="uint8")] for n in (1, 3))
    assert all((x == y).all() for a, b in zip(one, three, strict=True) for x, y in zip(a, b, strict=True))


def test_an_own_op_stands_in_choices_and_has_a_probability():
    from data_loading.ops import Choose

    views = ViewSet([Strategy("own", [[Choose([[Darker(0.4, p=0.5)], []], times=2)]])], crops=1, size=8)
    plan = Drawer(views, 0)(0, np.arange(4000), np.full(4000, 40), np.full(4000, 50))
    assert abs(plan.acted("darker").mean() - 7 / 16) < 0.04  # 1 - (3/4)^2, five standard errors


def test_a_saved_plan_knows_an_own_op_by_its_import_path(tmp_path):
    views = view_set(Darker(0.4))
    plan = Drawer(views, 0)(0, np.arange(3), np.full(3, 40), np.full(3, 50))
    plan.save(tmp_path / "plan.npz")
    with np.load(tmp_path / "plan.npz") as stored:
        parts = dict(stored)
    moved = {**parts, "op": np.where(parts["op"] == Darker.rule, 200, parts["op"]).astype(np.uint8), "own_codes": [200]}
    np.savez(tmp_path / "other_process.npz", **moved)  # where it had another code
    assert np.array_equal(Plan.load(tmp_path / "other_process.npz").op, plan.op)
    np.savez(tmp_path / "unknown.npz", **{**moved, "own_names": ["nowhere.Lighter"]})
    with pytest.raises(ViewError, match="runs the op nowhere.Lighter, which is not known here; import it first"):
        Plan.load(tmp_path / "unknown.npz")


def define(value):
    class Level(OwnOp):
        """The whole image at one level, which `draw` gives."""

        numbers = ("level",)

        def params(self) -> list[float]:
            return [value]

        @staticmethod
        def draw(params, state, arg, word):
            arg[0] = params[0]

        @staticmethod
        def kernel(image, scratch, arg, word):
            for c in range(image.shape[0]):
                for y in range(image.shape[1]):
                    for x in range(image.shape[2]):
                        image[c, y, x] = arg[0]

    return Level


def test_a_class_that_is_defined_again_as_in_a_notebook_is_another_one():
    old, new = define(200.0), define(30.0)
    both = ViewSet([Strategy("old", [[old()]]), Strategy("new", [[new()]])], crops=1, size=8)
    _, views = draw_views(picture(), both)
    assert [view.min() for view in views] == [view.max() for view in views] == [200, 30]
    plan = Drawer(both, 0)(0, np.arange(2), np.full(2, 40), np.full(2, 50))
    assert plan.number("level", "level").tolist() == [[200, 200], [30, 30]]


@pytest.mark.parametrize(("level", "kept"), [(300.0, 255), (-20.0, 0), (float("nan"), 0)])
def test_what_an_own_kernel_leaves_out_of_range_is_cut(level, kept, monkeypatch):
    views = view_set(define(level)())
    assert (draw_views(picture(), views)[1][1] == kept).all()
    monkeypatch.setenv("MASSRL_REFERENCE", "1")
    assert (draw_views(picture(), views)[1][1] == kept).all()


def test_an_own_op_may_not_take_the_name_of_a_step_of_this_package():
    with pytest.raises(ViewError, match="Blur: a plan would call its step 'blur'"):

        class Blur(OwnOp):
            """A name that is taken."""

            draw = staticmethod(lambda params, state, arg, word: None)
            kernel = staticmethod(lambda image, scratch, arg, word: None)


@pytest.mark.parametrize(("params", "words"), [([0.0] * 13, "returns 13 numbers"), (["much"], "must return plain")])
def test_params_that_no_rule_can_take_are_refused(params, words):
    class Loose(Darker):
        """Returns anything."""

        def params(self):
            return params

    with pytest.raises(ViewError, match=f"Loose: params.*{words}"):
        Drawer(view_set(Loose()), 0)


def test_an_own_op_without_a_kernel_or_that_does_not_compile_is_refused():
    with pytest.raises(ViewError, match="Half: an own op needs a static method kernel"):

        class Half(OwnOp):
            """No kernel."""

            draw = staticmethod(lambda params, state, arg, word: None)

    class Broken(OwnOp):
        """Uses a name that is not there."""

        @staticmethod
        def draw(params, state, arg, word):
            arg[0] = no_such_name(state)  # noqa: F821

        @staticmethod
        def kernel(image, scratch, arg, word):
            image[0, 0, 0] = 0

    with pytest.raises(ViewError, match="Broken: draw or kernel does not compile"):
        Drawer(view_set(Broken()), 0)
