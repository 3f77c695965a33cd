"""What every room's tests share."""

import os
from pathlib import Path

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
