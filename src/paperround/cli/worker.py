"""`paperround worker`: one of many processes that do the steps, taken from a queue in PostgreSQL."""

from typing import Annotated

import typer

from paperround.cli.session import settings


def register(app: typer.Typer) -> None:
    app.command()(worker)


def worker(
    context: typer.Context,
    queues: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="collect, embed, compose, deliver, inbox, upkeep; default: all of them.")
    ] = "",
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs at the same time.")] = 4,
) -> None:
    """Do the steps, together with other workers, until SIGTERM. Needs PostgreSQL and engine = "queue".

    \b
    Example:
      paperround worker --queues deliver
    """
    from paperround.worker import work_forever

    names = [name.strip() for name in queues.split(",") if name.strip()]
    work_forever(settings(context), queues=names, concurrency=concurrency)
