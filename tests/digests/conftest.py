"""The invented digests and the compiled templates as fixtures: pytest's importlib mode has no path to import siblings by."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from paperround.bundled_files import bundled
from paperround.digests.template_loader import TemplateLoader, Templates


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """The module tests/digests/samples.py."""
    name = "paperround_tests_digest_samples"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("samples.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def templates() -> Templates:
    """Our own, compiled once for all tests."""
    return TemplateLoader([bundled("templates")]).load()
