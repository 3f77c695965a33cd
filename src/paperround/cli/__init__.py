"""The command line: admin commands, one file a group; shells over wiring and pipeline, imported when they are called."""


def main() -> None:
    """The console script."""
    from paperround.cli.app import run

    run()
