"""Copies the recipes of configs/ into the package when a wheel is built; everything else is in setup.cfg.

configs/ stays at the top level and is the one copy in the repository; a wheel has it as massrl/configs, where
massrl/recipes.py looks first. An editable install copies nothing: it reads the clone's own files.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    def _recipes(self) -> dict[str, str]:
        """Where each recipe goes in the build -> its file."""
        found = sorted(Path("configs").glob("pretrain/*/*.yaml"))
        return {str(Path(self.build_lib, "massrl", path)): str(path) for path in found}

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for target, path in self._recipes().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(path, target, preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + ([] if self.editable_mode else list(self._recipes()))

    def get_source_files(self) -> list[str]:  # a source distribution holds them, too
        return super().get_source_files() + list(self._recipes().values())


setup(cmdclass={"build_py": BuildWithRecipes})
