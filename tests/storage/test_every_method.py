"""No method of storage without a case that runs on both databases."""

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path

from paperround.pipeline.interfaces import Storage

HERE = Path(__file__).parent
Functions = dict[str, ast.AsyncFunctionDef | ast.FunctionDef]


def functions(texts: Iterable[str]) -> Functions:
    trees = map(ast.parse, texts)
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def cases(known: Functions) -> set[str]:
    """What tests call on a storage that is opened on both databases, also by way of helpers."""
    waiting = [
        node for name, node in known.items() if name.startswith("test_") and {"storage", "url"} & {each.arg for each in node.args.args}
    ]
    called: set[str] = set()
    seen: set[str] = set()
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Attribute):
                called.add(node.attr)
            elif isinstance(node, ast.Name) and node.id in known and node.id not in seen:
                seen.add(node.id)
                waiting.append(known[node.id])
    return called


def methods() -> set[str]:
    return {
        name
        for name, _ in inspect.getmembers(Storage, lambda each: inspect.isfunction(each) or isinstance(each, property))
        if name[0] != "_"
    }


def test_every_method_of_the_protocols_has_a_case_on_both_databases() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.py"))]
    assert sorted(methods() - cases(functions(texts))) == []


def test_a_case_on_one_database_alone_is_none() -> None:
    one = "async def test_x(tmp_path):\n    await (await open_storage(tmp_path)).prune()\n"
    both = "async def test_y(storage):\n    await helper(storage)\nasync def helper(storage):\n    await storage.check()\n"
    assert cases(functions([one, both])) == {"check"}


def test_the_address_that_tests_ask_for_is_one_of_each() -> None:
    (fixture,) = [node for name, node in functions([(HERE / "conftest.py").read_text(encoding="utf-8")]).items() if name == "url"]
    decorated = ast.unparse(fixture.decorator_list[0])
    assert "'sqlite'" in decorated
    assert "'postgresql'" in decorated
