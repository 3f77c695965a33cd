"""What machines ask: whether we live, whether we can work, and the figures for Prometheus."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from paperround.operation.alerts import KINDS
from paperround.records import Run
from paperround.web.app import create_app

Site = Any
TOKEN = "a long random word"


async def asked(site: Site, path: str, headers: dict[str, str] | None = None, client: str = "127.0.0.1", **services: Any) -> Any:
    app = create_app(replace(site.services, **services))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app, client=(client, 5000)), base_url="http://paper.example") as http:
        return await http.get(path, headers=headers or {})


async def test_a_process_is_ready_while_its_database_answers_and_its_scheduler_ticks(site: Site) -> None:
    assert [(await asked(site, path)).status_code for path in ("/health", "/health/live", "/health/ready")] == [200, 200, 200]
    stalled = await asked(site, "/health/ready", stalled=lambda: True)
    assert (stalled.status_code, "scheduler" in stalled.text) == (503, True)
    await site.storage.db.write(text("UPDATE alembic_version SET version_num = '9999'"))
    moved = await asked(site, "/health/ready")
    assert (moved.status_code, "version" in moved.text) == (503, True)
    await site.storage.db.write(text("DROP TABLE alembic_version"))
    broken = await asked(site, "/health/ready")
    assert (broken.status_code, "does not answer" in broken.text) == (503, True)
    assert (await asked(site, "/health/live")).status_code == 200


@pytest.mark.parametrize(
    ("client", "headers", "token", "status"),
    [
        ("127.0.0.1", {}, None, 200),
        ("::1", {}, None, 200),
        ("192.0.2.7", {}, None, 404),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, None, 404),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}, None, 404),
        ("127.0.0.1", {}, TOKEN, 404),
        ("192.0.2.7", {"Authorization": "Bearer another word"}, TOKEN, 404),
        ("192.0.2.7", {"Authorization": f"Bearer {TOKEN}"}, TOKEN, 200),
    ],
)
async def test_metrics_are_for_this_machine_or_for_whoever_has_the_token(
    site: Site, client: str, headers: dict[str, str], token: str | None, status: int
) -> None:
    answer = await asked(site, "/metrics", headers, client, metrics_token=token)
    assert answer.status_code == status
    assert ("paperround_" in answer.text) == (status == 200)


async def test_metrics_count_without_naming_anybody(site: Site) -> None:
    now = site.clock.now()
    await site.storage.record_run(Run(step="deliver", at=now, seconds=2.5, count=7))
    await site.storage.record_run(Run(step="deliver", at=now, seconds=0.5, count=0, fault="ada@example.org is refused"))
    answer = await asked(site, "/metrics")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found["paperround_subscribers", "active"] == 1
    assert found["paperround_deliveries", "queued"] == 1
    assert found["paperround_sources", "active"] == 1
    assert (found["paperround_step_seconds_last_day", "deliver"], found["paperround_step_faults_last_day", "deliver"]) == (3.0, 1)
    assert found["paperround_step_items_last_day", "deliver"] == 7
    assert found["paperround_scheduler_up",] == 1
    assert found["process_resident_memory_bytes",] > 0
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "example" not in answer.text
    assert site.ada.public_id not in answer.text


async def test_every_metric_and_every_kind_of_alert_is_documented(site: Site) -> None:
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")
    answer = await asked(site, "/metrics")
    made = {family.name for family in text_string_to_metric_families(answer.text) if family.name.startswith("paperround_")}
    assert {line.split("`")[1] for line in page.splitlines() if line.startswith("| `paperround_")} == made
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `") and "paperround_" not in line] == list(KINDS)
