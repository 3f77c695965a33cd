"""Room: lean Jinja. Python code for our own mails in a third of the time of Jinja's, which is made for anything (pure)."""

from collections.abc import Iterable
from keyword import iskeyword
from typing import Any

import jinja2
from jinja2.compiler import CodeGenerator, Frame
from jinja2.nodes import Call, Const, Expr, Getattr, Getitem, Node, Template
from jinja2.sandbox import SandboxedEnvironment

_marked = vars(jinja2.runtime)["escape"]  # markupsafe's, which marks what it returns as safe
_escape = getattr(_marked, "__globals__", {}).get("_escape_inner", _marked)  # the function in C within it, which does not
_Markup = vars(jinja2.runtime)["Markup"]


def escape_other(value: Any) -> str:
    """What an expression prints that is no plain string."""
    kind = type(value)
    return value if kind is _Markup else str(value) if kind is int else _marked(value)


class LeanCode(CodeGenerator):
    """What is printed is escaped without being marked as safe, since it is joined at once and never looked at again, and collected
    in a list rather than yielded. In our own mails attributes, items and functions are taken as they are.

    In a sandbox each of them is looked at, and mappings have attributes as in any Jinja template."""

    def visit_Template(self, node: Template, frame: Frame | None = None) -> None:  # noqa: N802 - named by Jinja, like those below
        self.direct = str(self.name).startswith("email/") and not isinstance(self.environment, SandboxedEnvironment)
        self.writeline("from operator import call")
        self.writeline(f"from {__name__} import _escape, escape_other")
        super().visit_Template(node, frame)

    def blockvisit(self, nodes: Iterable[Node], frame: Frame) -> None:
        if not (self.direct and frame.rootlevel and frame.buffer is None):
            return super().blockvisit(nodes, frame)
        self.buffer(frame)
        super().blockvisit(nodes, frame)
        self.writeline(f"yield concat({frame.buffer})")
        frame.buffer = None
        return None

    def _output_child_pre(self, node: Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        if frame.eval_ctx.volatile:
            super()._output_child_pre(node, frame, finalize)
        else:
            self.write(f"({'_escape(printed)' if frame.eval_ctx.autoescape else 'printed'} if type(printed := ")

    def _output_child_post(self, node: Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        if frame.eval_ctx.volatile:
            super()._output_child_post(node, frame, finalize)
        else:
            self.write(f") is str else {'escape_other' if frame.eval_ctx.autoescape else 'str'}(printed))")

    def visit_Getattr(self, node: Getattr, frame: Frame) -> None:  # noqa: N802
        if not self.direct or iskeyword(node.attr):
            return super().visit_Getattr(node, frame)
        self.visit(node.node, frame)
        return self.write(f".{node.attr}")

    def visit_Getitem(self, node: Getitem, frame: Frame) -> None:  # noqa: N802
        if not self.direct or not isinstance(node.arg, Const):
            return super().visit_Getitem(node, frame)
        self.visit(node.node, frame)
        return self.write(f"[{node.arg.value!r}]")

    def visit_Call(self, node: Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802
        if not self.direct:
            return super().visit_Call(node, frame, forward_caller=forward_caller)
        self.write("call(")
        self.visit(node.node, frame)
        self.signature(node, frame, {"caller": "caller"} if forward_caller else None)
        return self.write(")")
