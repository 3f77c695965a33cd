"""The invented digests and the compiled templates as fixtures: pytest's importlib mode has no path to import siblings by."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from paperround.bundled_files import bundled
from paperround.digests.template_loader import TemplateLoader, Templates


def module(name: str) -> ModuleType:
    known = f"paperround_tests_digests_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """The module tests/digests/samples.py."""
    return module("samples")


@pytest.fixture(scope="session")
def kinds() -> ModuleType:
    """A digest of every kind."""
    return module("kinds")


@pytest.fixture(scope="session")
def renew() -> ModuleType:
    """What makes golden files and catalogues."""
    return module("renew")


@pytest.fixture(scope="session")
def mail_rules() -> ModuleType:
    """What every issue's bytes must satisfy."""
    return module("mail_rules")


@pytest.fixture(scope="session")
def templates() -> Templates:
    """Our own, compiled once for all tests."""
    return TemplateLoader([bundled("templates")]).load()
