"""The front of the command: help at once, exit codes, one line per error."""

import os
import subprocess
import sys
import time

import pytest

from betons import write
from data_loading.errors import UserError
from helpers import CHECKOUT
from massrl.cli import main as front


def massrl(*words: str) -> subprocess.CompletedProcess:
    root = front.__file__.rsplit("massrl", 2)[0]
    code = f"import sys; sys.path.insert(0, {root!r}); from massrl.cli.main import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60)


def test_help_comes_in_less_than_two_seconds_and_names_every_command():
    times = []
    for _ in range(2):  # the better of two: other work may hold the machine up once
        start = time.perf_counter()
        done = massrl("--help")
        times.append(time.perf_counter() - start)
        assert done.returncode == 0 and done.stderr == ""
        assert all(f"  {command} " in done.stdout for command in front.COMMANDS)
    assert min(times) < 2


def test_a_wrong_command_is_answered_with_the_nearest_in_one_line(capsys):
    assert front.main(["pretrian"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Did you mean 'pretrain'?" in said.err


def test_a_wrong_option_of_the_front_is_called_an_option(capsys):
    assert front.main(["--verbose"]) == 2
    assert "no option '--verbose'" in capsys.readouterr().err


def test_no_command_shows_the_help_and_version_the_version(capsys):
    assert front.main([]) == 0
    assert capsys.readouterr().out == front.usage()
    assert front.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("massrl ")


class Failing:
    """A command whose `main` raises."""

    error: BaseException = UserError("x.beton:\n  cut short; write it again")

    def main(self, argv):
        raise self.error


@pytest.fixture
def failing(monkeypatch):
    command = Failing()
    monkeypatch.setattr(front, "import_module", lambda name: command)
    return command


def test_an_error_that_the_user_can_mend_is_one_line_and_exit_code_2(failing, capsys):
    assert front.main(["knn"]) == 2
    assert capsys.readouterr().err == "massrl knn: error: x.beton: cut short; write it again\n"


def test_debug_shows_the_traceback_wherever_it_stands(failing, capsys):
    assert front.main(["knn", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert front.main(["--debug", "knn"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback(failing):
    failing.error = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        front.main(["knn"])


@pytest.mark.parametrize(
    "error", [MemoryError("Unable to allocate 43.7 TiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_one_line(failing, capsys, error):
    failing.error = error
    assert front.main(["knn"]) == 2
    assert capsys.readouterr().err == f"massrl knn: error: {front.MEMORY}\n"


def test_an_escape_character_of_a_name_does_not_reach_the_terminal(failing, capsys):
    failing.error = UserError("\x1b]0;title\x07.jpg: damaged")
    assert front.main(["knn"]) == 2
    assert capsys.readouterr().err == "massrl knn: error: \\x1b]0;title\\x07.jpg: damaged\n"


def test_an_interruption_is_exit_code_130(failing, capsys):
    failing.error = KeyboardInterrupt()
    assert front.main(["knn"]) == 130
    assert capsys.readouterr().err == "massrl knn: interrupted\n"


def test_control_characters_of_names_do_not_reach_the_terminal(tmp_path, capsys):
    """A name of a file may hold what a terminal obeys (an escape sequence, a change of direction), and any bytes."""
    name = "a\x1b[31m\u202e\udcff\r.png"
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / name).write_bytes(b"no image")
    commands = (["data", "write", str(folder), "a.beton"], ["data", "info", str(folder / name)],
                ["knn", "--checkpoint", name, "--train", "a", "--test", "b"], ["knn", f"--{name}"])  # fmt: skip
    for words in commands:
        try:
            assert front.main(words) == 2
        except SystemExit as stop:
            assert stop.code == 2
        error = capsys.readouterr().err
        assert r"\x1b[31m\u202e" in error and (r"\xff" in error or r"\udcff" in error) and error.count("\n") == 1
        assert all(character.isprintable() for character in error[:-1])


def test_a_name_that_is_no_utf_8_is_printed(tmp_path):
    """Where output must be UTF-8, as in most terminals, Python refuses to print such a name."""
    write(tmp_path / "caf\udce9.beton", n=3)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8:strict"}
    words = [sys.executable, "-m", "massrl", "data", "verify", "caf\udce9.beton"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout.startswith(r"caf\udce9.beton: no faults; 3 samples"), done.stderr
