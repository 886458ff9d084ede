"""Recipe: what a recipe for digits makes: a method, its data, and how long it is trained."""

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
    """The two .beton files of scikit-learn's digits: rows 0-1436 and the last 360."""

    train: Path
    test: Path

    @classmethod
    def write(cls, folder: str | Path) -> Digits:
        paths = {}
        for split in ("train", "test"):
            source = sources.open("digits", split=split)
            paths[split] = Path(folder) / f"digits_{split}.beton"
            DatasetWriter(paths[split], source.fields()).from_indexed_dataset(source, progress=False)
        return cls(**paths)


@dataclass(frozen=True)
class Recipe:
    """method: its name.  model: class_path and init_args.  data: of the data module.  epochs: of the whole recipe."""

    method: str
    model: dict
    data: dict
    epochs: int

    @classmethod
    def of(cls, method: str) -> Recipe:
        """From the file that is named after the method."""
        METHODS[method]  # an unknown name is answered with the nearest
        wanted = f"{DATA_SET}/{method.lower()}"
        name = next((name for name in recipes.names() if name.replace("_", "") == wanted), None)
        if name is None:
            raise ConfigError(
                f"no recipe for {method}: its file is configs/pretrain/{wanted}.yaml, with or without _ between words"
            )
        config = yaml.safe_load(recipes.path(name).read_text())
        return cls(method, config["model"], config["data"], config["trainer"]["max_epochs"])

    def make(self, digits: Digits, seed: int, num_workers: int = 1) -> tuple[Method, BetonDataModule]:
        """A fresh method and its data, as `massrl pretrain` makes them, both of this seed."""
        parser = ArgumentParser(exit_on_error=False)
        parser.add_subclass_arguments(Method, "model")
        parser.add_class_arguments(BetonDataModule, "data")
        data = {**self.data, "train": str(digits.train), "seed": seed, "num_workers": num_workers}
        config = parser.parse_object({"model": self.model, "data": data})
        torch.manual_seed(seed)
        made = parser.instantiate_classes(config)
        return made.model, made.data
