"""The law of the house, read off its imports: what may know what, and one place for every library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PROJECT = TESTS.parent
SYNCD = PROJECT / "syncd"

NOUNS = {"model", "errors"}
WORDS = NOUNS | {"ports"}
DAEMON = WORDS | {"decide", "act", "clerk", "daemon", "signals"}
CONFIGURED = DAEMON | {"config", "policies", "console", "inside", "telemetry"}
MAY_IMPORT = {
    # the ground, and the daemon upon it: cli -> app -> daemon -> clerk -> act -> decide
    "errors": set(),
    "model": set(),
    "ports": NOUNS,
    "decide": NOUNS,
    "act": WORDS | {"decide"},
    "clerk": WORDS | {"decide", "act"},
    "signals": set(),
    "daemon": DAEMON | {"telemetry"},
    "watchman": {"errors", "ports", "telemetry"},
    # the outside: each knows what is asked of it, and none of its siblings
    "adapters": WORDS,
    # what an operator writes and sees
    "config": {"errors", "decide"},
    "telemetry": WORDS | {"decide"},
    "console": WORDS | {"decide"},
    "policies": NOUNS | {"decide", "act", "config"},
    "inside": WORDS | {"decide", "act", "clerk", "console"},
    "once": WORDS | {"decide", "act"},
    # where everything meets
    "offline": CONFIGURED | {"adapters"},
    "household": CONFIGURED | {"adapters"},
    "attempt": CONFIGURED | {"errands"},
    "checkup": CONFIGURED | {"adapters", "household", "errands", "attempt"},
    "errands": CONFIGURED | {"adapters", "household", "app"},
    "app": CONFIGURED | {"adapters", "household", "watchman"},
    "waiting": CONFIGURED | {"adapters"},
    "cli": CONFIGURED
    | {
        "adapters",
        "once",
        "offline",
        "errands",
        "attempt",
        "checkup",
        "household",
        "app",
        "waiting",
        "demo",
        "credential_api",
    },
    "__main__": {"cli"},
    # programs of their own
    "credential_api": set(),
    "demo": CONFIGURED | {"adapters", "once", "app", "credential_api"},
}

ONE_PLACE = {
    "boto3": ("adapters.s3", "adapters.credentials"),
    "botocore": ("adapters.s3", "adapters.credentials"),
    "awscrt": ("adapters.s3", "adapters.credentials"),
    "urllib3": ("adapters.s3", "adapters.credentials"),
    "tenacity": ("adapters.s3.retrying", "adapters.credentials"),
    "sqlite3": ("adapters.ledger",),
    "watchdog": ("adapters.watch",),
    "yaml": ("config.read",),
    "flask": ("console.page",),
    "werkzeug": ("console.page",),
    "jinja2": ("console.page",),
    "markupsafe": ("console.page",),
    "waitress": ("console.page.server",),
    "prometheus_client": ("console.page",),
    "pydantic": ("config",),
    "click": ("cli",),
    "rich": ("cli",),
    "time": ("adapters.clock", "telemetry"),
    "random": ("household", "adapters"),
}
PROGRAMS = ("demo", "credential_api")  # they bring their own

PURE = {
    "__future__",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "itertools",
    "math",
    "re",
    "string",
    "typing",
    "unicodedata",
    "urllib.parse",
}
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "__import__", "now", "utcnow", "today"}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module by its name below syncd; a package has its own; the root is ''."""
    found = {}
    for path in SYNCD.rglob("*.py"):
        parts = path.relative_to(SYNCD).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text())
    return found


@cache
def imports(module: str) -> tuple[str, ...]:
    """Every module that is imported anywhere in it, inside functions and for type checking too."""
    return tuple(_imports(modules()[module]))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> Iterator[str]:
    """What it imports of syncd, below syncd; the package itself (its version) is everybody's."""
    for name in imports(module):
        below = name.removeprefix("syncd.")
        if below not in {name, "__version__"}:
            yield below


def room(module: str) -> str:
    return module.partition(".")[0]


def within(module: str, *places: str) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def test_every_room_has_its_law() -> None:
    assert {room(module) for module in modules() if module} - set(MAY_IMPORT) == set()
    assert not list(own_imports(""))


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_room_imports_only_what_the_law_allows(name: str) -> None:
    allowed = MAY_IMPORT[name] | {name}
    broken = [
        f"{module} imports {target}"
        for module in modules()
        if room(module) == name
        for target in own_imports(module)
        if room(target) not in allowed
    ]
    assert not broken


def test_the_law_itself_goes_downhill() -> None:
    """No two rooms may import each other, not even around a corner."""
    seen: set[str] = set()
    rest = {name: set(may) - {name} for name, may in MAY_IMPORT.items()}
    while free := {name for name, may in rest.items() if may <= seen}:
        seen |= free
        rest = {name: may for name, may in rest.items() if name not in free}
    assert not rest


def test_adapters_do_not_know_their_siblings() -> None:
    def sibling(module: str) -> str:
        return module.split(".")[1] if "." in module else ""

    broken = [
        f"{module} imports {target}"
        for module in modules()
        if room(module) == "adapters"
        for target in own_imports(module)
        if room(target) == "adapters" and sibling(target) != sibling(module)
    ]
    assert not broken


@pytest.mark.parametrize("library", ONE_PLACE)
def test_a_library_has_one_place(library: str) -> None:
    broken = [
        module
        for module in modules()
        if library in map(room, imports(module)) and not within(module, *ONE_PLACE[library], *PROGRAMS)
    ]
    assert not broken


def test_the_decisions_are_pure() -> None:
    ground = [module for module in modules() if room(module) == "decide"]
    outside = [
        (module, name) for module in ground for name in imports(module) if not name.startswith("syncd.")
    ]
    assert [(module, name) for module, name in outside if not within(name, *PURE)] == []
    calls = [
        (module, node)
        for module in ground
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.Call)
    ]
    assert [(module, node.lineno) for module, node in calls if _called(node.func) in IMPURE_CALLS] == []


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_every_module_says_what_it_is_for() -> None:
    assert [module for module, tree in modules().items() if not ast.get_docstring(tree)] == []


OF_THEIR_OWN = {
    *("support", "clock", "contract", "crash", "e2e", "faults", "gateway", "torture", "schedules", "clock"),
    *("systemd", "browser", "bench"),
}


def test_the_tests_mirror_the_house() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("*.py")}
    strays = [
        str(folder)
        for folder in folders
        if folder.parts and folder.parts[0] not in OF_THEIR_OWN and not (SYNCD / folder).is_dir()
    ]
    assert strays == []
    assert list(TESTS.rglob("__init__.py")) == []


def test_the_project_stands_alone() -> None:
    """Nothing in it names the places where it was made."""
    forbidden = ["/wo" + "rk/", "shared/" + "design"]
    texts = [
        path
        for folder in ("syncd", "tests", "docs", "systemd", ".ci")
        for path in (PROJECT / folder).rglob("*")
    ]
    texts += [
        path
        for path in PROJECT.iterdir()
        if path.suffix in {".md", ".toml", ".yaml"} or path.name == "Makefile"
    ]
    named = [
        str(path.relative_to(PROJECT))
        for path in texts
        if path.is_file()
        and path.suffix != ".pyc"
        and any(word in path.read_text(errors="replace") for word in forbidden)
    ]
    assert named == []
