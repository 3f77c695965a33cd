"""Runs the benchmarks beside this file and merges what they measured into out/bench.json.

A benchmark is a module `bench_NAME.py` with `run() -> list[dict]`, each entry with at least name, value and unit, and where they
apply beside, ratio and note. `--only match,send` runs the modules whose NAME begins so.
"""

import argparse
import importlib.util
import json
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "out" / "bench.json"

Measured = dict[str, Any]


def benchmarks(folder: Path, only: Sequence[str]) -> list[Path]:
    """The modules whose name begins with one of `only`; all of them when it is empty."""
    found = sorted(folder.glob("bench_*.py"))
    return [path for path in found if not only or path.stem.removeprefix("bench_").startswith(tuple(only))]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def merge(kept: Iterable[Measured], measured: Iterable[Measured]) -> list[Measured]:
    """One entry a name, the newer one; the order is that of the first appearance."""
    by_name = {entry["name"]: entry for entry in kept}
    by_name.update((entry["name"], entry) for entry in measured)
    return list(by_name.values())


def line(entry: Measured) -> str:
    beside = "  ".join(f"{name} {figure(value)}" for name, value in entry.get("beside", {}).items())
    ratio = f"×{figure(entry['ratio'])}" if entry.get("ratio") is not None else ""
    return f"{entry['name']:18} {figure(entry['value']):>10} {entry['unit']:18} {ratio:>8}  {beside}  {entry.get('note', '')}".rstrip()


def figure(value: object) -> str:
    """Four digits that count, or all of a large number's."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", default="", metavar="NAME[,NAME]")
    only = [name.strip() for name in arguments.parse_args().only.split(",") if name.strip()]
    chosen = benchmarks(HERE, only)
    if not chosen:
        names = ", ".join(path.stem.removeprefix("bench_") for path in benchmarks(HERE, []))
        sys.exit(f"no benchmark begins with {' or '.join(only)}; there are: {names}" if names else "there is no benchmark here")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    failed = []
    for path in chosen:
        name = path.stem.removeprefix("bench_")
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            results = merge(results, load(path).run())
        except Exception:
            traceback.print_exc()
            failed.append(name)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for entry in results:
        print(line(entry))
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}; what is told of them above, if anything, is older")


if __name__ == "__main__":
    main()
