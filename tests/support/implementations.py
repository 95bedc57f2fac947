"""Which classes and functions of the package keep a contract, found by reading it: a new one cannot
be forgotten."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT


def classes_with(*members: str, under: str = "streamsr") -> set[str]:
    """The full names of all classes in the package ``under`` that define these members, the
    protocols apart."""
    found = set()
    for path, node in _outermost(under):
        if (
            isinstance(node, ast.ClassDef)
            and set(members) <= set(_members(node))
            and "Protocol" not in map(ast.unparse, node.bases)
        ):
            found.add(f"{_module(path)}.{node.name}")
    return found


def makers_of(ending: str, *, under: str) -> set[str]:
    """The full names of the public functions whose result is announced as something with a name of
    this ending."""
    found = set()
    for path, node in _outermost(under):
        if (
            isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and node.returns is not None
            and ast.unparse(node.returns).endswith(ending)
        ):
            found.add(f"{_module(path)}.{node.name}")
    return found


def _outermost(package: str) -> Iterator[tuple[Path, ast.stmt]]:
    """All statements of all modules that stand in no other."""
    for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py")):
        yield from ((path, node) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def _members(node: ast.ClassDef) -> Iterator[str]:
    """Its methods and properties, and the attributes it declares or sets on itself."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef):
            yield inner.name
        elif isinstance(inner, ast.Assign | ast.AnnAssign):
            for target in inner.targets if isinstance(inner, ast.Assign) else [inner.target]:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        yield name.id
                    elif isinstance(name, ast.Attribute) and ast.unparse(name.value) == "self":
                        yield name.attr


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def name_of(kind: object) -> str:
    """The full name of a class or function, as the above give it."""
    return f"{kind.__module__}.{kind.__qualname__}"  # type: ignore[attr-defined]  # both have them
