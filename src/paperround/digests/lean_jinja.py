"""Room: lean Jinja. Python code for our own mails in a third of the time of Jinja's, which is made for anything (pure)."""

from collections.abc import Iterable
from keyword import iskeyword
from typing import Any

import jinja2
from jinja2.compiler import CodeGenerator, Frame
from jinja2.nodes import Assign, Call, Const, Expr, FilterBlock, For, Getattr, Getitem, If, Node, Output, Stmt, Template, With
from jinja2.sandbox import SandboxedEnvironment

_marked = vars(jinja2.runtime)["escape"]  # markupsafe's, which marks what it returns as safe
_escape = getattr(_marked, "__globals__", {}).get("_escape_inner", _marked)  # the function in C within it, which does not
_MOST_KEPT = 4096  # texts of a template
_Markup = vars(jinja2.runtime)["Markup"]


def escape_other(value: Any) -> str:
    """What an expression prints that is neither a plain string nor a number."""
    shown: str = value if type(value) is _Markup else _marked(value)
    return shown


def escape_octets(value: Any) -> str:
    """The same, and any string that is not ASCII, where octets are printed."""
    return _octets(escape_other(value))


def _octets(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


def encoded(template: jinja2.Template, text: str) -> bytes:
    """In UTF-8 what a template has printed: it may be its octets already, a character each."""
    return text.encode(template.root_render_func.__globals__["coding"])


class Kept(dict[tuple[object, ...], str]):
    """What blocks that are `kept_by` values printed."""

    def keep(self, values: tuple[object, ...], text: str) -> None:
        if len(self) >= _MOST_KEPT:
            self.clear()
        self[values] = text


def kept_by(text: str, *_: object) -> str:
    """`{% filter kept_by(VALUE, …) %}…{% endfilter %}`: what stands within depends on these values alone, and equal ones print the same. So
    our own mails make it once for the same values; anywhere else it is made each time."""
    return text


def _prints_once(node: Stmt) -> bool:
    """Whether nothing within it that was printed is printed once more."""
    if isinstance(node, FilterBlock):
        return node.filter.name == kept_by.__name__
    return isinstance(node, Output | If | With | Assign) or (isinstance(node, For) and not node.recursive)


class LeanCode(CodeGenerator):
    """What is printed is escaped without being marked as safe, since it is joined at once and never looked at again, and collected
    in a list rather than yielded. In our own mails attributes, items and functions are taken as they are.

    In a sandbox each of them is looked at, and mappings have attributes as in any Jinja template.

    The HTML of our own mails is printed as the octets of its UTF-8, a character each: so joining a mail and encoding it only copies, where
    with one wide character in it both would look at every one."""

    def visit_Template(self, node: Template, frame: Frame | None = None) -> None:  # noqa: N802 - named by Jinja, like those below
        self.direct = str(self.name).startswith("email/") and not isinstance(self.environment, SandboxedEnvironment)
        self.octets = self.direct and str(self.name).endswith(".mjml.j2") and all(map(_prints_once, node.find_all(Stmt)))
        self.writeline("from operator import call")
        self.writeline(f"coding = {'latin-1' if self.octets else 'utf-8'!r}")
        self.writeline(f"from {__name__} import _escape, escape_octets, escape_other, Kept")
        self.writeline("kept = Kept()")
        super().visit_Template(node, frame)

    def blockvisit(self, nodes: Iterable[Node], frame: Frame) -> None:
        if not (self.direct and frame.rootlevel and frame.buffer is None):
            return super().blockvisit(nodes, frame)
        self.buffer(frame)
        super().blockvisit(nodes, frame)
        self.writeline(f"yield concat({frame.buffer})")
        frame.buffer = None
        return None

    def visit_FilterBlock(self, node: FilterBlock, frame: Frame) -> None:  # noqa: N802
        if not self.direct or node.filter.name != kept_by.__name__ or frame.buffer is None:
            return super().visit_FilterBlock(node, frame)
        inner, values, text = frame.inner(), self.temporary_identifier(), self.temporary_identifier()
        inner.symbols.analyze_node(node)
        self.enter_frame(inner)
        self.writeline(f"{values} = ({values!r}, ")  # the first tells one block from another
        for each in node.filter.args:
            self.visit(each, inner)
            self.write(", ")
        self.write(")")
        self.writeline(f"if ({text} := kept.get({values})) is None:")
        self.indent()
        self.buffer(inner)
        self.blockvisit(node.body, inner)
        self.writeline(f"kept.keep({values}, {text} := concat({inner.buffer}))")
        self.outdent()
        self.writeline(f"{frame.buffer}.append({text})")
        return self.leave_frame(inner)

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        text = "".join(map(str, group))
        return repr(_octets(text) if self.octets else text)

    def _output_child_pre(self, node: Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        if frame.eval_ctx.volatile:
            super()._output_child_pre(node, frame, finalize)
        else:
            self.write(f"({'_escape(printed)' if frame.eval_ctx.autoescape else 'printed'} if type(printed := ")

    def _output_child_post(self, node: Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        if frame.eval_ctx.volatile:
            super()._output_child_post(node, frame, finalize)
        else:
            escape = "escape_octets" if self.octets else "escape_other"
            other = f"str(printed) if type(printed) is int else {escape}(printed)" if frame.eval_ctx.autoescape else "str(printed)"
            self.write(f") is str{' and printed.isascii()' if self.octets else ''} else {other})")

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
        plain = not (forward_caller or node.dyn_args or node.dyn_kwargs or any(iskeyword(each.key) for each in node.kwargs))
        self.write("" if plain else "call(")
        self.visit(node.node, frame)
        if plain:
            self.write("(")
            for each in (*node.args, *node.kwargs):
                self.visit(each, frame)
                self.write(", ")
        else:
            self.signature(node, frame, {"caller": "caller"} if forward_caller else None)
        return self.write(")")
