"""Two engines on one database at the same time, one of them killed: nothing goes out twice, and its claims are taken over."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

KILL_TEST = Path(__file__).resolve().parents[1] / "benchmarks" / "kill_test.py"


@pytest.mark.slow
async def test_of_two_engines_one_is_killed_and_nothing_is_lost_or_sent_twice(url: str) -> None:
    words = ["--deliveries", "120", "--kills", "2", "--longest", "0.2", "--engines", "2", "--database", url]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(KILL_TEST), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    counted = json.loads(out.splitlines()[-1])
    assert (counted["deliveries"], counted["lost"], counted["twice"]) == (120, 0, 0)
    assert counted["kills"] >= 1
    assert counted["in_doubt"] <= counted["connections"] * counted["kills"]
