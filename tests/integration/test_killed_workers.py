"""The crash test over many processes, in its small form."""

import json
import subprocess
import sys

import pytest
from tests.integration.conftest import ROOT


@pytest.mark.database
@pytest.mark.slow
@pytest.mark.usefixtures("postgres")  # skipped where none can be started
def test_workers_and_the_database_are_killed_and_nothing_is_lost_or_comes_twice() -> None:
    program = ["tests/benchmarks/kill_test_many.py", "--subscribers", "120", "--kills", "4", "--within", "1", "--longest", "0.5"]
    done = subprocess.run([sys.executable, *program], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["deliveries"], figures["kills"]) == (120, 4)
    assert (figures["lost"], figures["twice"], figures["composed_twice"]) == (0, 0, 0), done.stderr
    assert figures["in_doubt"] <= figures["connections"] * figures["kills"]
