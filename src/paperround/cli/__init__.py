"""The command line: admin commands, one file a group; shells over wiring and pipeline, imported when they are called."""


def main() -> None:
    """The console script."""
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C among imports is lost or breaks them: `run` lets it in
    from paperround.cli.app import run

    run()
