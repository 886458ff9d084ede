"""Recipe: method, data and length of training, read from a recipe for digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from jsonargparse import ArgumentParser

from data_loading import DatasetWriter, sources
from data_loading.errors import ConfigError
from data_loading.loading.datamodule import BetonDataModule
from massrl import recipes
from massrl.methods import METHODS, Method

DATA_SET = "digits"


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits as two .beton files: train has rows 0 to 1436, test the last 360."""

    train: Path
    test: Path

    @classmethod
    def write(cls, folder: str | Path) -> Digits:
        """Write digits_train.beton and digits_test.beton into a folder."""
        paths = {}
        for split in ("train", "test"):
            source = sources.open("digits", split=split)
            paths[split] = Path(folder) / f"digits_{split}.beton"
            DatasetWriter(paths[split], source.fields()).from_indexed_dataset(source, progress=False)
        return cls(**paths)


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe.

    method: name of the method.  model: {"class_path", "init_args"} of the method.  data: arguments of BetonDataModule.
    epochs: trainer.max_epochs.
    """

    method: str
    model: dict
    data: dict
    epochs: int

    @classmethod
    def of(cls, method: str) -> Recipe:
        """Read the recipe for digits of a method. Raises UnknownName, or ConfigError when there is no recipe."""
        METHODS[method]  # raises UnknownName, with the nearest name
        wanted = f"{DATA_SET}/{method.lower()}"
        name = next((name for name in recipes.names() if name.replace("_", "") == wanted), None)
        if name is None:
            raise ConfigError(
                f"no recipe for {method}: add configs/pretrain/{wanted}.yaml, with or without _ between words"
            )
        config = yaml.safe_load(recipes.path(name).read_text())
        return cls(method, config["model"], config["data"], config["trainer"]["max_epochs"])

    def make(self, digits: Digits, seed: int, num_workers: int = 1) -> tuple[Method, BetonDataModule]:
        """Instantiate method and data module as `massrl pretrain` does.  seed: of weights, order and views."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Method, "model")
        parser.add_class_arguments(BetonDataModule, "data")
        data = {**self.data, "train": str(digits.train), "seed": seed, "num_workers": num_workers}
        config = parser.parse_object({"model": self.model, "data": data})
        torch.manual_seed(seed)
        made = parser.instantiate_classes(config)
        return made.model, made.data
