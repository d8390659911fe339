"""What users may build on does not change by accident.

`tests/api_surface.json` lists the public names with their signatures: all that `docs/reference/` documents. A name that
is gone, or that is called differently, fails here; a new one does too until it is recorded. To record a change that is
meant (and to say so in CHANGELOG.md):

    .venv/bin/python tests/test_api_surface.py
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests" / "api_surface.json"
REFERENCE = ROOT / "docs" / "reference"
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def documented() -> list[str]:
    """The modules that the reference lists as ``::: name``."""
    pages = (page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md")))
    return sorted({name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE)})


def module_file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def definitions(module: str) -> dict[str, Definition]:
    """What a module defines at its top, without importing it."""
    found: dict[str, Definition] = {}
    for node in ast.parse(module_file(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
    return found


def homes(module: str) -> dict[str, str]:
    """The lazily loaded names of a package → the modules that define them; empty where there are none."""
    table = definitions(module).get("_HOMES")
    return ast.literal_eval(table.value) if isinstance(table, ast.Assign) else {}


def surface() -> dict[str, str]:
    """``module.name`` → signature, for functions, classes and their public members."""
    found: dict[str, str] = {}
    for module in documented():
        if lazy := homes(module):
            entries = {name: definitions(home)[name] for name, home in lazy.items()}
        else:
            entries = {
                name: node
                for name, node in definitions(module).items()
                if not name.startswith("_") and not isinstance(node, ast.Assign | ast.AnnAssign)
            }
        for name, node in entries.items():
            found.update(described(f"{module}.{name}", node))
    return dict(sorted(found.items()))


def described(name: str, node: Definition) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        yield name, f"class({bases})"
        for member in node.body:
            if isinstance(member, ast.AnnAssign):
                default = f" = {ast.unparse(member.value)}" if member.value else ""
                public = f"{name}.{ast.unparse(member.target)}", f"{ast.unparse(member.annotation)}{default}"
            elif isinstance(member, ast.FunctionDef) and (member.name == "__init__" or member.name[0] != "_"):
                public = f"{name}.{member.name}", signature(member)
            else:
                continue
            if not public[0].rpartition(".")[2].startswith("_") or public[0].endswith("__init__"):
                yield public
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield name, signature(node)
    elif isinstance(node, ast.AnnAssign):
        yield name, ast.unparse(node.annotation)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    decorators = "".join(
        f"@{ast.unparse(each)} "
        for each in node.decorator_list
        if ast.unparse(each) in ("property", "classmethod", "staticmethod", "contextmanager")
    )
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{decorators}({ast.unparse(node.args)}){returns}"


def test_the_public_surface_is_what_was_recorded() -> None:
    recorded, found = json.loads(RECORD.read_text(encoding="utf-8")), surface()
    changes = [f"gone: {name}{recorded[name]}" for name in recorded.keys() - found.keys()]
    changes += [f"new: {name}{found[name]}" for name in found.keys() - recorded.keys()]
    changes += [
        f"changed: {name}\n    was {recorded[name]}\n    is  {found[name]}"
        for name in recorded.keys() & found.keys()
        if recorded[name] != found[name]
    ]
    assert not changes, "\n".join([*sorted(changes), "if that is meant: .venv/bin/python tests/test_api_surface.py"])


def test_the_contract_is_in_the_record() -> None:
    """Names that programs of others use already, whatever is recorded."""
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    for name in (
        *("tracker.SiamTracker.from_pretrained", "tracker.SiamTracker.init", "tracker.SiamTracker.update"),
        *("tracker.SiamTracker.reset", "tracker.SiamTracker.available", "tracker.SiamTracker.runtime"),
        *("tracker.MultiTracker.add", "tracker.MultiTracker.remove", "tracker.MultiTracker.update"),
        *("tracker.TrackResult.box", "tracker.TrackResult.score", "tracker.TrackResult.state"),
        *("tracker.TrackResult.elapsed", "tracker.TrackResult.timestamp", "tracker.TrackState"),
        *("tracker.open_source", "tracker.to_bgr8", "tracker.as_opencv", "tracker.as_got10k"),
        *("tracker.association.Detections", "tracker.association.OnlineAssociator.update"),
        "tracker.association.FlowAssociator.run",
    ):
        assert name in recorded


@pytest.mark.parametrize("module", documented())
def test_everything_public_explains_itself(module: str) -> None:
    lazy = homes(module)
    nodes = {name: definitions(lazy[name])[name] for name in lazy} if lazy else definitions(module)
    silent = [
        f"{module}.{name}"
        for name, node in nodes.items()
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not silent


if __name__ == "__main__":
    RECORD.write_text(json.dumps(surface(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.exit(print(f"{RECORD.relative_to(ROOT)}: {len(surface())} public names"))
