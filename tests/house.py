"""The package as its source: modules, what they import and how long they are."""

import ast
import dataclasses
import functools
import io
import pathlib
import re
import tokenize

PACKAGE = pathlib.Path(__file__).parent.parent / "jaxspike"
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = ast.Module | ast.ClassDef | FUNCTIONS
LAYOUT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def dotted(path):
    """`nn.layers.pool` of a file; a package has the name of its folder, the root none."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def tree(module):
    """The syntax tree of a module."""
    return ast.parse(MODULES[module].read_text())


@dataclasses.dataclass(frozen=True)
class Import:
    """`from .module import name`, or an import of something that is not in the package."""

    module: str
    name: str | None = None
    inside: bool = True
    in_function: bool = False


@functools.cache
def imports(module):
    """Everything a module imports; a submodule is a module, not a name of its package."""
    within = {id(n) for f in functions(module) for n in ast.walk(f)}
    parts = module.split(".") if module else []
    package = parts if MODULES[module].name == "__init__.py" else parts[:-1]
    found = []
    for node in ast.walk(tree(module)):
        local = id(node) in within
        if isinstance(node, ast.Import):
            found += [_absolute(a.name, None, local) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [_absolute(node.module, a.name, local) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            base = ".".join(filter(None, base))
            found += [_inside(base, a.name, local) for a in node.names]
    return found


def _absolute(module, name, local):
    if module.split(".")[0] == "jaxspike":
        return _inside(module.partition(".")[2], name, local)
    return Import(module.split(".")[0], name, inside=False, in_function=local)


def _inside(base, name, local):
    submodule = f"{base}.{name}".strip(".")
    if submodule in MODULES and name not in _exports(base):
        return Import(submodule, in_function=local)
    return Import(base, name, in_function=local)


@functools.cache
def _exports(package):
    """Names that an `__init__` takes from the modules beside it: `scan` may be both."""
    if MODULES[package].name != "__init__.py":
        return set()
    found = [n for n in ast.walk(tree(package)) if isinstance(n, ast.ImportFrom) and n.module]
    return {alias.asname or alias.name for node in found for alias in node.names}


def functions(module):
    """Every function of a module, nested ones too."""
    return [n for n in ast.walk(tree(module)) if isinstance(n, FUNCTIONS)]


def length(function):
    """Lines of a function without its docstring."""
    doc = function.body[0] if ast.get_docstring(function) is not None else None
    return len(_lines(function)) - (len(_lines(doc)) if doc else 0)


def _lines(node):
    return range(node.lineno, node.end_lineno + 1)


@dataclasses.dataclass(frozen=True)
class Size:
    """Counts of one file or of several: all lines, docstrings, code, `raise`, the word `Any`."""

    files: int = 0
    lines: int = 0
    doc: int = 0
    code: int = 0
    raises: int = 0
    any: int = 0

    def __add__(self, other):
        return Size(*map(sum, zip(*map(dataclasses.astuple, (self, other)), strict=True)))

    @property
    def any_per_1000_lines(self):
        return 1000 * self.any / self.lines

    @property
    def raise_percent(self):
        return 100 * self.raises / max(self.code, 1)


def size(module):
    """The counts of one module."""
    text = MODULES[module].read_text()
    doc, raises = set(), set()
    for node in ast.walk(tree(module)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            doc |= set(_lines(node.body[0]))
        elif isinstance(node, ast.Raise):
            raises |= set(_lines(node))
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            code |= set(range(token.start[0], token.end[0] + 1))
    word = len(re.findall(r"\bAny\b", text))
    return Size(1, len(text.splitlines()), len(doc), len(code - doc), len(raises), word)
