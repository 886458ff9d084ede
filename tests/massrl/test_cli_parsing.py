"""Parser: each mistake is one line that says where it stands, what is wrong, and which name is near."""

from pathlib import Path

import pytest
from jsonargparse import ActionConfigFile

from data_loading.errors import ConfigError
from massrl.cli import pretrain
from massrl.parsing.parser import Parser
from massrl.parsing.places import config_files, configs_first, place_of_value


class Op:
    def __init__(self, p: float = 1.0):
        self.p = p


class Solarize(Op):
    pass


class Method:
    def __init__(self, width: int = 8, ops: list[Op] | None = None):
        self.width, self.ops = width, ops


class SimCLR(Method):
    def __init__(self, tau: float = 0.5, **common):
        super().__init__(**common)


class BYOL(Method):
    def __init__(self, ema: float = 0.99, **common):
        super().__init__(**common)


def parser() -> Parser:
    parser = Parser(prog="massrl pretrain", description="")
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_argument("--kind", choices=["methods", "strategies"], default="methods")
    parser.add_argument("--run", type=str | None, default=None)
    parser.add_argument("--data.size", type=int | None, default=None)
    parser.add_subclass_arguments(Method, "model", fail_untyped=False, default={"class_path": "SimCLR"})
    return parser


def error(capsys, *words: str) -> str:
    """What the parser says of `words`, after `massrl pretrain: error: `."""
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(list(words))
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1
    return said.removeprefix("massrl pretrain: error: ").strip()


def config(text: str) -> str:
    Path("a.yaml").write_text(text)
    return "a.yaml"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--data.sise", "8"], "no option '--data.sise'. Did you mean '--data.size'?"),
        (["--data.siz", "8"], "no option '--data.siz'. Did you mean '--data.size'?"),  # no abbreviations
        (["--data.size", "big"], "--data.size: expected int or null, got 'big'"),
        (["stray"], "'stray' is one word too many; options are written as --name value"),
        (["--model.tua", "1"], "--model.tua: SimCLR has no option 'tua'. Did you mean 'tau'?"),
        (["--model", "BYOL", "--model.emma", "1"], "--model.emma: BYOL has no option 'emma'. Did you mean 'ema'?"),
        (["--model.widht", "1"], "--model.widht: SimCLR has no option 'widht'. Did you mean 'width'?"),  # of its base
        (["--model.tau", "hot"], "--model.tau: expected float, got 'hot'"),
        (["--model", "SimCRL"], "--model: no method named 'SimCRL'. Did you mean 'SimCLR'? Known: BYOL, SimCLR"),
        (["--kind", "methodz"], "--kind: no choice 'methodz'. Did you mean 'methods'? Choices: methods, strategies"),
        (["--data.size"], "argument --data.size: expected one argument"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(capsys, words, line):
    assert error(capsys, *words) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "model: {class_path: BYOL, init_args: {emma: 1}}",
            "a.yaml: model.init_args.emma: BYOL has no option 'emma'. Did you mean 'ema'?",
        ),
        ("data: {sise: 8}", "a.yaml: data.sise: data has no option 'sise'. Did you mean 'size'?"),
        ("dta: {size: 8}", "a.yaml: dta: no option 'dta'. Did you mean 'data'?"),
        ("data: {size: big}", "a.yaml: data.size: expected int or null, got 'big'"),
        (
            "model: {class_path: BYOL, ema: 1}",
            "a.yaml: model: the options of SimCLR belong under init_args: class_path, init_args: {...}",
        ),
        ("model: {BYOL: {ema: 1}}", "a.yaml: model.BYOL: write {class_path: BYOL, init_args: {ema: ...}}"),
        (
            "model: {class_path: SimCLR, init_args: {ops: [{class_path: Solarise}]}}",
            "a.yaml: model.init_args.ops: no op named 'Solarise'. Did you mean 'Solarize'? Known: Solarize",
        ),
    ],
)
def test_a_mistake_in_a_file_names_the_file_and_the_key(capsys, text, line):
    assert error(capsys, "--config", config(text)) == line


def test_a_file_that_is_no_yaml_and_one_that_is_not_there_are_named(capsys):
    assert error(capsys, "--config", config("data: {size: 8")).startswith("a.yaml: not valid YAML: ")
    assert "nope.yaml" in error(capsys, "--config", "nope.yaml")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            b"data: {size: 8}\ndata: {size: 9}",
            "not valid YAML: line 2, and before in line 1: the key 'data' is there twice",
        ),
        (b"\xff\xfe", "is not UTF-8 text (byte 0)"),
        (b"[1, 2]", "holds a list, where settings are needed"),
        (b"[" * 100 + b"]" * 100, "not valid YAML: line 1: more than 50 values within each other"),
        (b"data: {size: ''}", "data.size: expected int or null, got None"),
        (b"run: ''", "run: is ''; give a value, or leave it out"),
        (b'run: "a\\0b"', "run: 'a\\x00b' has a NUL byte"),
        (b'run: "a\\nb"', "run: 'a\\nb' has a line break"),
    ],
)
def test_a_config_file_that_could_be_misread_is_refused(capsys, content, line):
    Path("a.yaml").write_bytes(content)
    assert error(capsys, "--config", "a.yaml").startswith(f"a.yaml: {line}")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--run", "a\nb"], "--run: 'a\\nb' has a line break, which is not allowed"),
        (["--run", "a\0b"], "'a\\x00b' has a NUL byte, which no option and no path can have"),
        (["--run", "\x1b[31mred", "--sise"], "no option '--sise'."),
        (["--model.ops", "[{class_path: Op, class_path: Solarize}]"], "--model.ops: "),
    ],
)
def test_a_value_that_is_no_name_and_no_path_is_refused(capsys, words, line):
    assert error(capsys, *words).startswith(line)


@pytest.mark.parametrize(
    ("words", "name"),
    [(["--run", ""], "--run"), (["--run="], "--run"), (["--data.size= "], "--data.size"), ([""], "an argument")],
)
def test_an_empty_value_as_of_an_unset_variable_is_refused(words, name):
    with pytest.raises(ConfigError, match=f"^{name} is ''; name a folder, a file or another value, or leave it out$"):
        parser().parse_args(words)


def test_a_terminal_is_not_sent_what_it_would_obey(capsys):
    assert error(capsys, "\x1b[31mred").startswith("'\\x1b[31mred' is one word too many")


def test_an_option_of_the_command_line_wins_wherever_it_stands():
    given = ["--config", config("data: {size: 8}\nmodel: {class_path: BYOL, init_args: {ema: 0.5}}")]
    for words in (["--data.size", "32", *given], [*given, "--data.size", "32"]):
        assert parser().parse_args(words).data.size == 32
    found = parser().parse_args(["--model", "SimCLR", "--model.tau", "0.3", f"--config={given[1]}", "--data.size=4"])
    assert (found.model.class_path.rpartition(".")[2], found.model.init_args.tau, found.data.size) == ("SimCLR", 0.3, 4)
    words = ["--a", "1", "--config", "x", "b", "-c=y", "--", "--config", "z"]
    assert configs_first(words) == ["--config", "x", "-c=y", "--a", "1", "b", "--", "--config", "z"]


def test_a_module_of_the_user_that_raises_is_named_with_its_line(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("raising_module.py").write_text('x = 1\nraise RuntimeError("my own\\nfault")\n')
    Path("broken_module.py").write_text("class Op(:\n")
    said = error(capsys, "--model", "raising_module.Method")
    assert said.startswith("a class that is named here cannot be imported: RuntimeError: my own fault (")
    assert said.endswith("raising_module.py, line 2); correct the file, or leave it out")
    said = error(capsys, "--model.ops", "[broken_module.Op]")
    assert said.startswith(
        "--model.ops: 'broken_module.Op' cannot be imported: SyntaxError: invalid syntax (broken_mod"
    )


def test_the_command_line_goes_over_the_file_and_a_later_file_over_an_earlier():
    Path("b.yaml").write_text("data: {size: 16}")
    words = ["--config", config("data: {size: 8}\nmodel: {class_path: BYOL, init_args: {ema: 0.5, width: 4}}")]
    assert parser().parse_args(words).data.size == 8
    assert parser().parse_args([*words, "--config", "b.yaml"]).data.size == 16
    found = parser().parse_args([*words, "--config", "b.yaml", "--data.size", "32", "--model.ema", "0.7"])
    assert (found.data.size, found.model.init_args.ema, found.model.init_args.width) == (32, 0.7, 4)


def test_a_logger_whose_package_is_not_installed_says_which(monkeypatch):
    class Missing:
        def __bool__(self):
            return False

        def __str__(self):
            return "no package wandb; pip install wandb"

    monkeypatch.setattr("pytorch_lightning.loggers.wandb._WANDB_AVAILABLE", Missing())
    words = ["--data.train", "digits", "--trainer.logger", "WandbLogger", "--trainer.max_epochs", "1"]
    with pytest.raises(ConfigError, match="WandbLogger': no package wandb; pip install wandb$"):
        pretrain.main(words)


def test_a_value_is_found_where_it_was_given():
    words = [f"--config={config('data: {views: {strategies: [simclr, byoll]}}')}", "--data.views", "[simclt, byol]"]
    assert config_files(words) == [Path("a.yaml")]
    assert place_of_value(words, "simclt") == "--data.views: "
    assert place_of_value(words, "byoll") == "a.yaml: data.views.strategies: "
    assert place_of_value(words, "dino") == ""
