"""Check the shape of the code over its AST: imports point one way, cores are pure, modules are short.

    python -m tools.layering

Run by `make check`; tests/unit/test_layering.py shows that each rule catches what it should.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.protos import ROOT

CONTRACT = "hotspare"
MODEL = "hotspare_model"
RPC = "hotspare_rpc"
STORE = "hotspare_store"
APPLICATIONS = ("hotspare_cloud", "hotspare_receiver", "hotspare_cli", "hotspare_sim")

SOURCE_ROOTS = {
    MODEL: "model",
    RPC: "rpc",
    STORE: "store",
    "hotspare_cloud": "cloud_stub",
    "hotspare_receiver": "server",
    "hotspare_cli": "cli",
    "hotspare_sim": "sim",
}

# Applications meet in the protos alone, so none of them is in another's row; only two of them store anything.
MAY_IMPORT: dict[str, frozenset[str]] = {
    MODEL: frozenset(),
    RPC: frozenset({CONTRACT, MODEL}),
    STORE: frozenset({MODEL}),
    "hotspare_cloud": frozenset({CONTRACT, MODEL, RPC, STORE}),
    "hotspare_receiver": frozenset({CONTRACT, MODEL, RPC, STORE}),
    "hotspare_cli": frozenset({CONTRACT, MODEL, RPC}),
    "hotspare_sim": frozenset({CONTRACT, MODEL, RPC}),
}
OURS = frozenset({CONTRACT, *MAY_IMPORT})

# What makes a deciding part depend on more than its arguments. `datetime` is fine: only its clocks are not.
IMPURE_MODULES = (
    "grpc", "grpc_status", "google", CONTRACT, "sqlite3", "sqlite_utils", "asyncio", "time", "random",
    "secrets", "logging", "threading", "socket", "ssl", "select", "selectors", "subprocess",
    "multiprocessing", "concurrent",
)  # fmt: skip
IMPURE_NAMES = frozenset({"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "urandom", "import_module"})
THEIR_OWNERS = frozenset({"datetime", "date", "uuid", "os", "importlib"})

MAX_LINES = 500


@dataclass(frozen=True)
class Module:
    """A module of the source roots, by its dotted name; `is_package` for an `__init__`."""

    name: str
    path: str
    text: str
    is_package: bool = False

    @property
    def package(self) -> str:
        """The package at the top of its source root."""
        return self.name.partition(".")[0]

    @property
    def must_be_pure(self) -> bool:
        """Whether it is of the model, or below a folder `core`."""
        return self.package == MODEL or "core" in self.name.split(".")[1:]


@dataclass(frozen=True)
class Import:
    """One imported name, absolute; `from a import b` is `a.b`, which may be a module or something in `a`."""

    name: str
    line: int


def read_modules(root: Path = ROOT) -> list[Module]:
    """Read all modules of the source roots."""
    modules = []
    for package, folder in SOURCE_ROOTS.items():
        base = root / folder
        for path in sorted((base / package).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            text = path.read_text(encoding="utf-8")
            modules.append(Module(name, path.relative_to(root).as_posix(), text, is_package))
    return modules


def check(modules: list[Module]) -> list[str]:
    """Return one line for each break of the rules, as `path:line: what`."""
    trees = {module.name: ast.parse(module.text, module.path) for module in modules}
    imports = {module.name: tuple(_imports(module, trees[module.name])) for module in modules}
    found: list[str] = []
    for module in modules:
        found += _long(module)
        found += _wrong_arrows(module, imports[module.name])
        if module.must_be_pure:
            found += _impure_imports(module, imports)
            found += _impure_names(module, trees[module.name])
    return found


def _long(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MAX_LINES:
        yield f"{module.path}:{lines}: {lines} lines, {MAX_LINES} at most: split it"


def _wrong_arrows(module: Module, imports: tuple[Import, ...]) -> Iterator[str]:
    for imported in imports:
        target = imported.name.partition(".")[0]
        if target in OURS and target != module.package and target not in MAY_IMPORT[module.package]:
            yield f"{module.path}:{imported.line}: {module.package} may not import {target}"


def _impure_imports(module: Module, imports: Mapping[str, tuple[Import, ...]]) -> Iterator[str]:
    """Follow our own modules too: a core is as impure as what it gets through a neighbour."""
    for imported in imports[module.name]:
        impure = _impure(imported.name)
        if impure:
            yield f"{module.path}:{imported.line}: a pure part imports {impure}"
            continue
        way = _way_to_impure(imported.name, imports, seen={module.name})
        if way:
            yield f"{module.path}:{imported.line}: a pure part gets {way[-1]} through {' -> '.join(way[:-1])}"


def _way_to_impure(name: str, imports: Mapping[str, tuple[Import, ...]], seen: set[str]) -> list[str]:
    parts = name.split(".")
    loaded = [".".join(parts[: count + 1]) for count in range(len(parts))]
    for module in loaded:
        if module not in imports or module in seen:
            continue
        seen.add(module)
        for imported in imports[module]:
            impure = _impure(imported.name)
            if impure:
                return [module, impure]
            way = _way_to_impure(imported.name, imports, seen)
            if way:
                return [module, *way]
    return []


def _impure(name: str) -> str:
    """Return the forbidden module that an imported name is in, or ""."""
    return next((bad for bad in IMPURE_MODULES if name == bad or name.startswith(f"{bad}.")), "")


def _impure_names(module: Module, tree: ast.Module) -> Iterator[str]:
    """Find `datetime.now` and its like, called or handed on, and imported on their own."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, value=ast.Name(id=owner) | ast.Attribute(attr=owner)):
                if name in IMPURE_NAMES and owner in THEIR_OWNERS:
                    yield f"{module.path}:{node.lineno}: a pure part uses {owner}.{name}"
            case ast.ImportFrom(module=source, names=names, level=0) if source in THEIR_OWNERS:
                for alias in names:
                    if alias.name in IMPURE_NAMES:
                        yield f"{module.path}:{node.lineno}: a pure part uses {source}.{alias.name}"
            case ast.Name(id="__import__"):
                yield f"{module.path}:{node.lineno}: a pure part uses __import__"
            case _:
                pass


def _imports(module: Module, tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(alias.name, node.lineno)
            case ast.ImportFrom(module=source, names=names, level=level):
                base = _absolute(module, source or "", level)
                for alias in names:
                    yield Import(base if alias.name == "*" else f"{base}.{alias.name}", node.lineno)
            case _:
                pass


def _absolute(module: Module, source: str, level: int) -> str:
    if level == 0:
        return source
    parts = module.name.split(".")
    kept = len(parts) - level + (1 if module.is_package else 0)
    return ".".join([*parts[:kept], *([source] if source else [])])


def main() -> int:
    """Print what breaks the rules; return the exit status."""
    found = check(read_modules())
    if found:
        print(*found, sep="\n", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
