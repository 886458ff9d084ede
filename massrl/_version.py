"""The version, in a file without imports, so that setup.cfg can read it before anything is installed."""

__version__ = "0.3.0.dev0"
