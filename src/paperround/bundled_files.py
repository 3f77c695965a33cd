"""Room: files that come with the program: in a wheel under `paperround/bundled/`, in a checkout partly at its top level (I/O)."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def bundled(name: str, *, package: Path = PACKAGE) -> Path:
    """The file or folder `name` (templates, subscribers, sample). Raises FileNotFoundError that says the installation is broken."""
    for place in (package / "bundled" / name, package.parents[1] / name):
        if place.exists():
            return place
    raise FileNotFoundError(f"{name} is missing from this installation of paperround; install it again")
