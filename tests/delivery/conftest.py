"""The scripted SMTP server as a fixture: pytest's importlib mode has no path to import siblings by."""

import importlib.util
import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def smtp_server() -> ModuleType:
    """The module tests/delivery/smtp_server.py."""
    name = "paperround_tests_smtp_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("smtp_server.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
