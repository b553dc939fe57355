"""What a learner's file may use: read from its syntax tree, before any of it runs.

A rule of the exercise, and a second net below the walls: names that are put together at run time get through.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from grading.candidate.permitted import NOT_READ, builtin_refused, module_refused, path_refused, value_refused

_COLAB = "google.colab"


@dataclass(frozen=True)
class Violation:
    """A line of the file, and the advice: one sentence."""

    line: int
    text: str


def what_runs(tree: ast.Module) -> ast.Module:
    """The file without what does not run in a grade; that is neither read nor run, whatever stands there.

    It is what stands at the top level under `if __name__ == "__main__":`, `if TYPE_CHECKING:` and
    `if "google.colab" in sys.modules:`. To ask for Colab gives False: elsewhere, too, it would be so.
    """
    asks = _AskedForColab()
    tree = ast.fix_missing_locations(asks.visit(tree))
    tree.body = [part for statement in tree.body for part in _live(statement, asks.names)]
    return tree


def violations(tree: ast.Module) -> list[Violation]:
    """What the file uses and a solution does not, by line."""
    reader = _Reader(tree)
    for statement in tree.body:
        reader.visit(statement)
    return sorted(set(reader.found), key=lambda violation: (violation.line, violation.text))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# modules that the allowed ones have imported themselves, and so hold as attributes
_LEADING_OUT = _words(
    """os sys importlib builtins bltns subprocess ctypes inspect gc pathlib socket pickle shutil threading tempfile
    multiprocessing linecache traceback mmap marshal runpy pkgutil atexit faulthandler glob codecs copyreg"""
)
_CLIMBING = _words(
    """__globals__ __builtins__ __subclasses__ __bases__ __base__ __mro__ __code__ __closure__ __self__ __func__
    __wrapped__ __loader__ __spec__ __getattribute__ __reduce__ __reduce_ex__ __traceback__ __dict__
    __torch_function__ __torch_dispatch__ f_back f_globals f_locals f_builtins f_code gi_frame gi_code cr_frame
    cr_code ag_frame ag_code tb_frame tb_next co_consts co_code cell_contents"""
)
_CLIMBING_TEXT = re.compile(rf"(?<!\w)({'|'.join(sorted(_CLIMBING))})(?!\w)")
_INTERNAL = _words(
    """_C _ops _dynamo _inductor _decomp _refs _prims _functorch _higher_order_ops _jit_internal _library
    _meta_registrations _subclasses _utils_internal"""
)


class _Reader(ast.NodeVisitor):
    """Collects violations; knows what the names of the file stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[Violation] = []
        self.imported = dict(_imports(tree))
        # only what def and class bind: open = open would bind the name and still take the built-in one
        self.bound = [{node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}]

    def say(self, node: ast.AST, text: str) -> None:
        self.found.append(Violation(getattr(node, "lineno", 1), text))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.check_module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:
            self.say(node, f"each kata stands alone in one file, so a solution has no relative imports; {NOT_READ}")
        elif self.check_module(node, module):
            for alias in node.names:
                if alias.name != "*":
                    self.check_path(node, f"{module}.{alias.name}")
                elif (module.startswith("torch") and module != "torch.nn") or value_refused(module):
                    self.say(node, f"name what you import: a star takes in parts of {module} that a solution avoids")

    def check_module(self, node: ast.AST, module: str) -> bool:
        refused = module_refused(module)
        if refused:
            self.say(node, refused)
        return not refused and self.check_path(node, module)

    def check_path(self, node: ast.AST, path: str, handed_on: bool = False) -> bool:
        """A dotted path that begins at an imported module; with `handed_on`, what it names becomes a value."""
        refused = path_refused(path) or (value_refused(path) if handed_on and "." in path else "")
        if refused:
            self.say(node, refused)
            return False
        return all(self.check_attribute(node, part) for part in path.split(".")[1:])

    def check_attribute(self, node: ast.AST, name: str) -> bool:
        if name in _CLIMBING:
            self.say(node, f"a solution has no need of {name}: it reaches behind the values, into the interpreter")
        elif name in _INTERNAL:
            self.say(node, f"{name} is an inner part of PyTorch; a solution uses the public functions")
        elif name.lstrip("_") in _LEADING_OUT:
            self.say(node, f"a solution uses torch and a few standard modules; {name.lstrip('_')} is not among them")
        else:
            return True
        return False

    def visit_Name(self, node: ast.Name) -> None:
        loaded = isinstance(node.ctx, ast.Load)
        if node.id == "__name__" and not loaded:
            self.say(node, "a solution leaves __name__ as it is: the grader gives the file its name")
        elif node.id.startswith("__") and node.id in _CLIMBING:
            self.check_attribute(node, node.id)
        elif loaded and not any(node.id in names for names in self.bound):
            refused = builtin_refused(node.id) or value_refused(self.imported.get(node.id, ""))
            if refused:
                self.say(node, refused)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self.path(node)
        if path:
            self.check_path(node, path, handed_on=True)
            return
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if not own or (node.attr in _CLIMBING and node.attr != "__dict__"):
            self.check_attribute(node, node.attr)
        self.visit(node.value)

    def path(self, node: ast.expr) -> str:
        """torch.nn.functional.softmax for F.softmax; nothing where the root is no imported name."""
        if isinstance(node, ast.Attribute):
            path = self.path(node.value)
            return path and f"{path}.{node.attr}"
        return self.imported.get(node.id, "") if isinstance(node, ast.Name) else ""

    def visit_Call(self, node: ast.Call) -> None:
        named = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if named in ("getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    self.check_path(node, f"{self.path(node.args[0]) or 'value'}.{argument.value}")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        found = _CLIMBING_TEXT.search(node.value) if isinstance(node.value, str) else None
        if found:
            self.check_attribute(node, found[0])

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring may mention anything
            self.visit(node.value)

    def visit_MatchClass(self, node: ast.MatchClass) -> None:
        for name in node.kwd_attrs:
            self.check_attribute(node, name)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        if getattr(node, "name", "") in _CLIMBING:
            self.check_attribute(node, getattr(node, "name", ""))
        self.visit(node.args)  # defaults belong to the scope around: def f(open=open) takes the built-in one
        self.in_scope(node)

    def in_scope(self, node: ast.AST) -> None:
        self.bound.append(_bound(node))
        self.generic_visit(node)
        self.bound.pop()

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = in_scope


class _AskedForColab(ast.NodeTransformer):
    """Answers `"google.colab" in sys.modules` with False; `names` are those that are given that answer."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        asked = isinstance(node.left, ast.Constant) and node.left.value == _COLAB and len(node.ops) == 1
        if asked and isinstance(node.ops[0], ast.In | ast.NotIn):
            return ast.copy_location(ast.Constant(isinstance(node.ops[0], ast.NotIn)), node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        before, node.value = node.value, self.visit(node.value)
        if node.value is not before and isinstance(node.value, ast.Constant) and node.value.value is False:
            self.names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        return node


def _live(statement: ast.stmt, false: set[str]) -> list[ast.stmt]:
    """The statement, or that branch of it which runs in a grade."""
    if not isinstance(statement, ast.If):
        return [statement]
    test = statement.test
    if isinstance(test, ast.Constant):
        return statement.body if test.value else statement.orelse
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq):
        sides = sorted(ast.unparse(side) for side in (test.left, *test.comparators))
        return statement.orelse if sides == ["'__main__'", "__name__"] else [statement]
    never = ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING", *false}
    return statement.orelse if never else [statement]


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            root = alias.name.partition(".")[0]
            if isinstance(node, ast.ImportFrom):
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
            else:
                yield (alias.asname, alias.name) if alias.asname else (root, root)


_SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


def _bound(scope: ast.AST) -> set[str]:
    """Names that the scope binds itself: a parameter called input hides the built-in one."""
    names: set[str] = set()
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if not isinstance(node, _SCOPES):
            waiting.extend(ast.iter_child_nodes(node))
    return names
