"""A method of the user's own, one file outside the package: the page CONTRIBUTING.md is run as it stands."""

import gc
import importlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from betons import write
from data_loading.errors import CheckpointError, ConfigError
from drawn import Drawn, same_state, trainer
from helpers import CHECKOUT
from massrl.cli.main import main
from massrl.cli.samples import sample_folder
from massrl.methods import METHODS, Method, load
from massrl.runs.own_code import check_class_paths, import_named

PAGE = (CHECKOUT / "CONTRIBUTING.md").read_text()
MASSRL = [sys.executable, "-m", "massrl"]


def files_of_the_page() -> None:
    """The files that the page shows, in the current folder."""
    for name, text in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", PAGE, re.M | re.S):
        Path(name).write_text(text)


def run(*words: str, code: int = 0, **options) -> subprocess.CompletedProcess:
    done = subprocess.run([*words], capture_output=True, text=True, timeout=250, **options)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def plugin(monkeypatch):
    """Writes a module of a method into the current folder and imports it; afterwards both are forgotten."""
    made, known = [], dict(METHODS._items)

    def make(text: str, name: str = "my_method", cls: str = "MyMethod") -> type:
        Path(f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(Path.cwd()))
        made.append(name)
        forget()
        return getattr(__import__(name), cls)

    def forget() -> None:
        for name in made:
            sys.modules.pop(name, None)
        METHODS._items.clear()
        METHODS._items.update(known)

    make.forget = forget
    yield make
    forget()
    gc.collect()  # a class is one of Method's subclasses until it is collected, and its name may be another's, too


OWN = """
from massrl.methods import SimCLR

class MyMethod(SimCLR):
    '''Mine.'''
"""


def saved(cls: type, **args) -> tuple[Path, Method]:
    method, fit = cls("tiny_resnet", backbone_args={"width": 4}, hidden_dim=8, out_dim=4, **args), trainer()
    fit.fit(method, Drawn(2, 2))
    fit.save_checkpoint("a.ckpt", weights_only=False)
    return Path("a.ckpt"), method


def named_by_a_checkpoint(plugin, module: str, name: str = "MyMethod") -> Path:
    """A checkpoint that says its class `name` is in `module`."""
    path, _ = saved(plugin(OWN))
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"] |= {"module": module, "method": name}
    torch.save(content, path)
    return path


def test_the_page_runs_from_python():
    files_of_the_page()
    write(Path("train.beton"), n=16, side=(40, 60))
    filters = ["-W", "error", "-W", "ignore:`isinstance(treespec, LeafSpec)` is deprecated:FutureWarning"]
    run(sys.executable, *filters, "train.py")
    assert Path("align_uniform.ckpt").stat().st_size > 0


def test_the_page_runs_from_yaml_and_its_checkpoint_is_evaluated():
    files_of_the_page()
    images = str(sample_folder(Path("data")))
    pretrain = [*MASSRL, "pretrain", "--config", "config.yaml", "--data.train"]
    assert "check passed" in run(*pretrain, "train.beton", "--check").stdout
    assert not Path("runs").exists()
    run(*pretrain, images, "--run", "run", "--trainer.accelerator", "cpu", "--report", "false")
    assert "class_path: align_uniform.AlignUniform" in Path("run/config.yaml").read_text()
    checkpoint = ["--checkpoint", "run/checkpoints/last.ckpt", "--train", images, "--test", images]
    for command in ("knn", "linear"):
        k = ["--k", "3"] if command == "knn" else []
        own = ["--import", "align_uniform"]
        said = run(*MASSRL, command, *own, *checkpoint, "--num_workers", "1", *k)
        assert "AlignUniform, trained" in said.stdout
    Path("elsewhere").mkdir()
    moved = [str(Path(word).absolute()) if Path(word).exists() else word for word in checkpoint]
    said = run(*MASSRL, "knn", *moved, code=2, cwd="elsewhere", env={**os.environ, "PYTHONPATH": str(CHECKOUT)}).stderr
    assert said.count("\n") == 1
    assert "a checkpoint of align_uniform.AlignUniform, and there is no module align_uniform here" in said
    goes_on = run(*MASSRL, "pretrain", "--ckpt_path", "run/checkpoints/last.ckpt", "--trainer.max_epochs", "2")
    assert "newest checkpoint: run/checkpoints/last.ckpt" in goes_on.stdout


def test_the_losses_of_the_page_by_hand(plugin):
    files_of_the_page()
    text = Path("align_uniform.py").read_text()
    cls = plugin(text, "align_uniform", "AlignUniform")
    module = sys.modules["align_uniform"]
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])  # two images on opposite sides: squared distance 4
    assert module.uniformity(z, t=2.0).item() == pytest.approx(-8.0)
    assert module.uniformity(torch.ones(3, 2)).item() == 0.0  # collapsed
    assert module.alignment(z, z.flip(0)).item() == 4.0 and module.alignment(z, z, alpha=1.0).item() == 0.0
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])  # 4 pairs at 2, 2 pairs at 4
    assert module.uniformity(square, t=1.0).item() == pytest.approx(math.log((4 * math.exp(-2) + 2 * math.exp(-4)) / 6))
    method, batch = cls("tiny_resnet", hidden_dim=8, out_dim=4, align_weight=2.0).train(), next(iter(Drawn(2)))
    z1, z2 = (torch.nn.functional.normalize(z, dim=1) for z in method.embed(batch.views))
    expected = 2 * module.alignment(z1, z2) + (module.uniformity(z1) + module.uniformity(z2)) / 2
    torch.testing.assert_close(method.loss(batch), expected)
    assert METHODS["AlignUniform"] is cls


def test_the_page_is_formatted_as_the_package(tmp_path):
    files_of_the_page()
    for name in ("align_uniform.py", "train.py"):
        assert max(map(len, Path(name).read_text().splitlines())) <= 120


def test_a_checkpoint_says_where_its_class_is_and_load_imports_it(plugin):
    cls = plugin(OWN)
    path, method = saved(cls, tau=0.3)
    kept = torch.load(path, weights_only=True)["hyper_parameters"]
    assert (kept["module"], kept["method"]) == ("my_method", "MyMethod") and "MyMethod" not in METHODS
    plugin.forget()
    importlib.import_module("my_method")
    again = load(path)
    assert type(again).__module__ == "my_method" and again.tau == 0.3 and same_state(again, method)


def test_a_module_of_the_current_folder_that_was_not_named_is_not_run(plugin):
    path, _ = saved(plugin(OWN))
    plugin.forget()
    Path("my_method.py").write_text("raise AssertionError('was run')")
    with pytest.raises(CheckpointError, match="not an installed package but a file in .*--import my_method"):
        load(path)
    assert "my_method" not in sys.modules


def test_a_module_of_the_standard_library_is_not_run_either(plugin):
    path = named_by_a_checkpoint(plugin, "this")  # importing it prints a poem
    with pytest.raises(CheckpointError, match="this is not an installed package"):
        load(path)
    assert "this" not in sys.modules


def test_an_installed_package_is_imported(plugin, monkeypatch):
    path, method = saved(plugin(OWN))
    plugin.forget()
    monkeypatch.setattr("site.getsitepackages", lambda: [str(Path.cwd())])  # as if pip had put it there
    assert same_state(load(path), method)


def test_views_with_code_of_ones_own_are_not_run_unless_named(plugin):
    plugin(OWN)
    plugin.forget()
    views = {"strategies": ["simclr", {"class_path": "my_method.dark", "init_args": {}}]}
    with pytest.raises(CheckpointError, match=r"views of my_method\.dark, and my_method is not an installed package"):
        check_class_paths(views, "a.ckpt: trained with views of")


@pytest.mark.parametrize("words", [["--import", "my_method"], ["--import=my_method"]])
def test_the_option_names_a_module(plugin, words):
    plugin(OWN)
    plugin.forget()
    assert import_named(["--k", "3", *words, "--tau", "1"]) == ["--k", "3", "--tau", "1"]
    assert "my_method" in sys.modules


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--import"], "--import is ''; give the name of a module"),
     (["--import", "my_method.py"], "--import is 'my_method.py'; give the name of a module, as my_method"),
     (["--import", "nowhere"], "--import nowhere: there is no module nowhere; it is looked for in the current folder"),
     (["--import", "my_method"], "--import my_method: cannot be imported: SyntaxError")],
)  # fmt: skip
def test_a_module_that_cannot_be_imported_is_one_line(plugin, capsys, words, says):
    plugin(OWN)
    plugin.forget()
    Path("my_method.py").write_text("def broken(:\n")
    importlib.invalidate_caches()
    assert main(["knn", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_class_of_ones_own_may_have_the_name_of_a_method_of_the_package(plugin):
    cls = plugin(OWN.replace("MyMethod", "BYOL"), cls="BYOL")
    path, _ = saved(cls)
    assert isinstance(load(path), cls) and METHODS["BYOL"] is not cls


def test_a_registered_class_is_taken_as_it_is(plugin):
    cls = plugin("from massrl.methods import register\n" + OWN.replace("class", "@register\nclass"))
    path, _ = saved(cls)
    Path("my_method.py").unlink()
    assert type(load(path)) is cls


def test_a_checkpoint_from_before_the_module_was_kept_is_found_by_its_name(plugin):
    from massrl.methods import SimCLR

    path, method = saved(SimCLR)
    content = torch.load(path, weights_only=True)
    del content["hyper_parameters"]["module"]
    torch.save(content, path)
    assert same_state(load(path), method)


def test_a_registered_name_that_another_has_is_refused_when_it_is_imported(plugin):
    with pytest.raises(ConfigError, match="two methods are named 'BYOL'"):
        plugin(
            "from massrl.methods import register\n"
            + OWN.replace("MyMethod", "BYOL").replace("class", "@register\nclass"),
            cls="BYOL",
        )


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (None, "there is no module my_method here; run where my_method lies, or put its folder on PYTHONPATH"),
        ("import no_such_package\n" + OWN, "there is no module no_such_package here; install it"),
        ("def broken(:\n", "my_method cannot be imported: SyntaxError"),
        ("raise SystemExit('used as a script')\n", "my_method cannot be imported: SystemExit: used as a script"),
        ("Other = 1\n", "my_method has no MyMethod; was it renamed"),
        ("class MyMethod:\n    pass\n", "which is no method: it must be a subclass of massrl.Method"),
        ("def MyMethod(**args):\n    raise AssertionError('called')\n", "which is no method"),
        (OWN + "    def __init__(self, **common):\n        super().__init__(out_dim=9, **common)\n", "does not fit"),
    ],
)
def test_a_class_that_is_not_there_or_is_no_method_is_refused_in_one_sentence(plugin, monkeypatch, module, words):
    path, _ = saved(plugin(OWN))
    plugin.forget()
    file = Path("my_method.py")
    file.unlink() if module is None else file.write_text(module)
    importlib.invalidate_caches()
    monkeypatch.setattr("site.getsitepackages", lambda: [str(Path.cwd())])  # as an installed package
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        load(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("a.ckpt: ")


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("massrl.methods.base", "METHODS"), ("builtins", "eval")]
)
def test_what_is_no_method_is_never_called(plugin, module, name):
    path = named_by_a_checkpoint(plugin, module, name)
    with pytest.raises(CheckpointError, match="no method|not installed"):
        load(path)


def test_a_class_of_a_script_is_refused_with_what_to_do(plugin):
    path = named_by_a_checkpoint(plugin, "__main__")
    with pytest.raises(CheckpointError, match="a class of the script that trained it; move the class to a file"):
        load(path)
