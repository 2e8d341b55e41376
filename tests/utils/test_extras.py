"""What a message about a missing package asks for: a command that works however `lar` was installed."""

import importlib.metadata

import pytest

from lar.errors import MissingExtraError
from lar.utils.extras import import_extra, install_command

REQUIREMENTS = [
    "numpy>=1.26",
    "torch>=2.6 ; extra == 'train'",
    'transformers>=5.16,<6; extra == "train"',
    "zstandard>=0.22 ; extra == 'zstd'",
]


class Installed:
    """The metadata of an installed `lar`."""

    def __init__(self, installer):
        self.installer = installer
        self.requires = REQUIREMENTS

    def read_text(self, name):
        return {"INSTALLER": self.installer}.get(name)


@pytest.mark.parametrize(
    ("installer", "command"),
    [("pip\n", "pip install"), ("uv", "uv pip install"), (None, "pip install")],
)
def test_the_packages_of_an_extra_are_named_in_their_ranges(monkeypatch, installer, command):
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed(installer))
    assert install_command("train") == f"{command} 'torch>=2.6' 'transformers>=5.16,<6'"
    with pytest.raises(
        MissingExtraError, match=f"^drawing needs no_such_package: {command} no_such_package$"
    ):
        import_extra("no_such_package", "drawing")


def test_without_metadata_the_checkout_is_named(monkeypatch):
    def distribution(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert install_command("zstd") == "pip install '.[zstd]' in the checkout"


@pytest.mark.parametrize("extra", ["ray", "redact", "tables", "train", "zstd"])
def test_each_extra_of_the_installed_package_has_packages(extra):
    command = install_command(extra)
    assert "pip install '" in command
    assert "lar[" not in command
