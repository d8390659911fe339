"""What the manual says exists: links, files, commands with their options, names that examples import, versions.

Nothing is fetched; the site itself is built (where mkdocs is installed) by a slow test.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
FOLDERS = ("backbones", "benchmarks", "docs", "examples", "learning", "tests", "tools", "tracker", "weights")
SHELLS = ("sh", "bash", "shell", "console")
OURS = re.compile(r"tools/\w+\.py|examples/\w+\.py|docs/\w+\.py")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and content of a page's blocks of code."""
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


def anchors(page: Path) -> set[str]:
    """What a heading is called in an address, as GitHub and mkdocs have it for plain headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pages
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", prose(page)):
        if re.match(r"[a-z]+:", target):  # another site: not asked here
            continue
        name, _, anchor = unquote(target).partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    assert not broken


@pages
def test_every_file_named_in_the_text_exists(page: Path) -> None:
    missing = []
    for name in re.findall(r"`((?:" + "|".join(FOLDERS) + r")/[\w./*-]*)`", prose(page)):
        found = any(ROOT.glob(name.rstrip("/"))) if "*" in name else (ROOT / name).exists()
        if not found:
            missing.append(name)
    assert not missing


# ---------------------------------------------------------------- commands


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line in a page's shell blocks; comments and continuations resolved."""
    for language, content in blocks(page):
        if language not in SHELLS:
            continue
        for line in re.sub(r"\\\n\s*", " ", content).splitlines():
            try:
                words = shlex.split(line.removeprefix("$ "), comments=True)
            except ValueError:  # a quotation that spans lines, such as an inline script
                continue
            yield from split_chain(words)


def split_chain(words: list[str]) -> Iterator[list[str]]:
    """``a && b`` → a, b; redirections and the background are left out."""
    chain: list[str] = []
    for word in [*words, "&&"]:
        if word in ("&&", "||", "|", ";", "&"):
            if chain:
                yield chain
            chain = []
        elif word in (">", ">>", "2>", "<"):
            continue
        else:
            chain.append(word)


def python_command(words: list[str]) -> tuple[tuple[str, ...], list[str]] | None:
    """(script, or -m and module) and arguments of a command that runs Python code of ours; None for others."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables set for this command
        words = words[1:]
    if len(words) < 2 or not re.fullmatch(r"(.*/)?python3?", words[0]):
        return None
    if words[1] == "-m" and words[2].partition(".")[0] in FOLDERS:
        return ("-m", words[2]), words[3:]
    return ((words[1],), words[2:]) if OURS.fullmatch(words[1]) else None


@cache
def all_commands() -> dict[tuple[str, ...], set[tuple[Path, tuple[str, ...]]]]:
    """Each command of ours that is quoted anywhere → the pages, with the arguments."""
    found: dict[tuple[str, ...], set[tuple[Path, tuple[str, ...]]]] = {}
    for page in PAGES:
        for words in commands(page):
            if command := python_command(words):
                found.setdefault(command[0], set()).add((page, tuple(command[1])))
    return found


@cache
def options_in(path: Path) -> set[str]:
    """Every text in a module that could be an option."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if re.fullmatch(r"--[a-z][\w-]*", text)}


def is_module(value: object) -> bool:
    """Whether a text names a module of ours, as commands do that load theirs only when asked for."""
    return isinstance(value, str) and bool(re.fullmatch(r"[a-z_]+(\.\w+)+", value)) and module_exists(value)


def module_exists(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return name.partition(".")[0] in FOLDERS and (path.with_suffix(".py").is_file() or path.is_dir())


@cache
def options_of(script: Path) -> set[str]:
    """The options that a command can have: those in it and in the packages of ours that it imports."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and is_module(node.value)}
    packages = {name.partition(".")[0] for name in imported} & set(FOLDERS)
    packages |= {script.relative_to(ROOT).parts[0]} - {"tools", "examples", "docs"}
    modules = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    return set().union({"--help"}, *map(options_in, [script, *modules]))


def script_of(command: tuple[str, ...]) -> Path:
    """The file that a command runs."""
    if command[0] != "-m":
        return ROOT / command[0]
    path = ROOT.joinpath(*command[1].split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def quoted_options() -> Iterator[tuple[Path, tuple[str, ...], tuple[str, ...], str]]:
    """(page, command, its arguments, option) for every option that is quoted."""
    for command, uses in all_commands().items():
        for page, arguments in sorted(uses):
            for word in arguments:
                option = word.partition("=")[0]
                if option == "--ros-args":  # what follows is for ROS
                    break
                if re.fullmatch(r"--[a-z][\w-]*", option):
                    yield page, command, arguments, option


def test_every_quoted_command_exists() -> None:
    assert len(all_commands()) > 10
    assert [command for command in all_commands() if not script_of(command).is_file()] == []


def test_every_quoted_option_is_written_somewhere_in_its_command() -> None:
    unknown = [
        f"{page.relative_to(ROOT)}: {option} of {' '.join(command)}"
        for page, command, _, option in quoted_options()
        if not {option, option.replace("--no-", "--", 1)} & options_of(script_of(command))
    ]
    assert unknown == []


@cache
def help_of(command: tuple[str, ...]) -> str:
    """What a command says of itself; empty where it has no help, or its extra is not installed."""
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *command, "--help"]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def help_for(command: tuple[str, ...], arguments: tuple[str, ...]) -> str:
    """The help of a command and of the subcommands that `arguments` begin with."""
    whole = text = help_of(command)
    for word in arguments:
        named = re.search(r"\{([\w,-]+)\}", text.partition("\n\n")[0])
        listed = (named and word in named[1].split(",")) or re.search(rf"^ +{re.escape(word)}\b", text, re.MULTILINE)
        if word.startswith("-") or not listed:
            break
        command = (*command, word)
        text = help_of(command)
        whole += text
    return whole


@pytest.mark.slow
def test_every_quoted_option_is_in_the_help() -> None:
    unknown = []
    for page, command, arguments, option in quoted_options():
        said = help_for(command, arguments)
        if said and not re.search(rf"{re.escape(option)}(?![\w-])", said):
            unknown.append(f"{page.relative_to(ROOT)}: {option} of {' '.join(command)}")
    assert unknown == []


@pages
def test_every_make_target_and_extra_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    extras = set(re.findall(r'^        "(\w+)": ', (ROOT / "setup.py").read_text(encoding="utf-8"), re.MULTILINE))
    for words in commands(page):
        if words[0] == "make":
            named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(named) <= targets, words
        if words[:2] == ["pip", "install"] or words[1:4] == ["-m", "pip", "install"]:
            for word in words:
                if match := re.fullmatch(r"\.\[([\w,]+)\]", word):
                    assert set(match[1].split(",")) <= extras, words


# ---------------------------------------------------------------- Python


@pages
def test_examples_in_python_parse_and_import_what_there_is(page: Path) -> None:
    for language, content in blocks(page):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FOLDERS:
                missing = {alias.name for alias in node.names} - defined(node.module or "")
                assert not missing, f"from {node.module} import {missing}"


def defined(module: str) -> set[str]:
    """Names that can be imported from a module of ours, without importing it."""
    path = ROOT.joinpath(*module.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.slow
def test_the_tutorial_s_programs_run(tmp_path: Path) -> None:
    """Those that need nothing but the bundled clip, as they stand, in a folder where the clip is."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "demo.mp4").write_bytes((ROOT / "examples" / "demo.mp4").read_bytes())
    programs = [content for language, content in blocks(DOCS / "tutorial.md") if language == "python"]
    assert len(programs) == 2
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for program in programs:
        line = [sys.executable, "-c", program]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 299  # a line for each frame after the first


# ---------------------------------------------------------------- the site


def navigation() -> list[str]:
    return re.findall(
        r"^ +- (?:[^:]+: )?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(navigation()) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="pip install '.[docs]'")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "reference" / "tracker" / "index.html").read_text(encoding="utf-8")
    for name in ("SiamTracker.update", "MultiTracker.add", "TrackResult.at", "open_source"):
        assert f'id="tracker.{name}"' in page


# ---------------------------------------------------------------- versions


def version() -> str:
    match = re.search(r'version="([^"]+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert match
    return match[1]


def test_the_changelog_ends_in_versions_and_knows_this_one() -> None:
    titles = re.findall(r"^## (.+)$", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    numbers = [title.split()[0] for title in titles if title != "Unreleased"]
    assert titles.count("Unreleased") <= 1
    assert version() in numbers
    assert numbers == sorted(numbers, key=lambda number: [int(part) for part in number.split(".")], reverse=True)


def test_the_citation_file_says_what_setup_py_says() -> None:
    entries = dict(re.findall(r"^([a-z-]+): *(.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"cff-version", "message", "title", "authors"} <= entries.keys()  # what the format requires
    assert entries["version"] == version()
    assert entries["license"] == "MIT"
    assert entries["title"] == "siamtrack"
