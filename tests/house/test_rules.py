"""House rules that a linter does not know: layout, purity, honesty of the tree."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for pattern in ("libs/*/src", "services/*/src", "operator/src", "spark/src", "lambda/src", "cli/src")
    for folder in ROOT.glob(pattern)
    for path in folder.rglob("*.py")
)
CORE = [path for path in SOURCES if "headrace_core" in path.parts]

_NAMELESS = {"utils", "helpers", "common", "manager", "base", "misc"}
_IMPURE_CALLS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "datetime.now",
    "datetime.utcnow",
    "os.environ",
    "open",
}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_there_are_sources() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize("folder", ["operator", "airflow"])
def test_a_folder_that_shadows_a_module_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_module_manners(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module says what it is for"
    assert path.stem not in _NAMELESS, "a module is named after what it holds"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, "does it hold two things?"
    if path.name not in {"__init__.py", "__main__.py", "launch.py"} and "versions" not in path.parts:
        names = {target.id for node in tree.body for target in _targets(node)}
        assert "__all__" in names, "a module names what others may use"


def _targets(node: ast.stmt) -> list[ast.Name]:
    if isinstance(node, ast.Assign):
        return [target for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target]
    return []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_public_names_say_their_contract(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not silent


@pytest.mark.parametrize("path", [path for path in CORE if path.name != "clock.py"], ids=_name)
def test_the_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await)), "async marks I/O"
        assert _dotted(node) not in _IMPURE_CALLS, f"line {getattr(node, 'lineno', 0)} reads the world"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_log_events_are_constant(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func).split(".")[0] in {"_log", "log", "logger"}:
            assert not any(isinstance(arg, (ast.JoinedStr, ast.BinOp)) for arg in node.args), (
                f"line {node.lineno}"
            )


def _tracked() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return listing.stdout.split()


def test_nothing_is_left_open_and_no_machine_is_named() -> None:
    open_ends = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|/(work|ro" r"ot|opt/uv)/")
    found = []
    for name in _tracked():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".sql", ""}
            and path.is_file()
            and name != "uv.lock"
        ):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{name}:{i}" for i, line in enumerate(text.splitlines(), 1) if open_ends.search(line)]
    assert not found


def test_files_stay_small() -> None:
    large = [
        name for name in _tracked() if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 1_500_000
    ]
    assert not large
