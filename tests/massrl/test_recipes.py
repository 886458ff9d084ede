"""Recipes by name: every file of configs/pretrain has one, and --config takes it where no file has that path."""

from pathlib import Path

import pytest

from data_loading.errors import UnknownName
from massrl import recipes
from massrl.cli import pretrain
from massrl.parsing.places import config_files, with_recipes

ROOT = Path(__file__).parents[2]


def test_every_file_of_configs_has_a_name_and_the_name_leads_back_to_it():
    files = sorted((ROOT / "configs" / "pretrain").glob("*/*.yaml"))
    assert sorted(recipes.path(name) for name in recipes.names()) == files
    assert {"cifar10/byol", "digits/massrl", "imagenet/swav_256"} <= set(recipes.names())


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="no recipe named 'digits/byoll'. Did you mean 'digits/byol'"):
        recipes.path("digits/byoll")


def test_a_summary_is_the_first_sentence_of_the_file_and_none_is_empty():
    assert recipes.summary("cifar10/byol") == "BYOL, ResNet-18, CIFAR-10."
    assert recipes.summary("folder/massrl_gpu") == "MASSRL on a folder of images with a GPU: a ResNet-18."
    assert all(recipes.summary(name).strip() for name in recipes.names())


@pytest.mark.parametrize("words", [["--config", "digits/byol"], ["--config=digits/byol"], ["-c", "digits/byol"]])
def test_a_name_after_config_becomes_the_path_of_its_file(words):
    assert config_files(["--run", "digits/byol", *words]) == [recipes.path("digits/byol")]
    assert with_recipes(["--run", "digits/byol", *words])[:2] == ["--run", "digits/byol"]


@pytest.mark.parametrize("word", ["gone.yaml", "{data: {size: 32}}", "a: 1"])
def test_what_looks_like_a_file_or_like_yaml_is_left_to_the_parser(word):
    assert with_recipes(["--config", word]) == ["--config", word]


def test_a_file_of_that_path_wins():
    Path("digits").mkdir()
    Path("digits/byol").write_text("model: SimSiam\n")
    assert config_files(["--config", "digits/byol"]) == [Path("digits/byol")]


def test_pretrain_takes_a_recipe_by_name_and_answers_a_wrong_one_in_one_line(capsys):
    pretrain.main(["--config", "digits/simclr", "--check"])
    assert "check passed" in capsys.readouterr().out
    with pytest.raises(UnknownName, match="^--config: no recipe named 'digits/simcrl'. Did you mean 'digits/simclr'"):
        pretrain.main(["--config", "digits/simcrl", "--check"])
