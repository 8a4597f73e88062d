"""The map of the house is true: its tree, its order of imports, its words for `mine`."""

import ast
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bitextmine
from bitextmine import pipeline

HOUSE = Path(bitextmine.__file__).parent
PAGE = (HOUSE / "DESIGN.md").read_text("utf-8")
MODULES = sorted(HOUSE.rglob("*.py"))
MOST_AT_THE_TOP = 18


def section(title: str) -> str:
    """Return what the page says under a heading."""
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def block(title: str) -> str:
    """Return the first fenced block under a heading."""
    return section(title).split("```")[1].partition("\n")[2]


def name_of(path: Path) -> str:
    """Name a module from the house on: "search.exact.side"; a package by its folder."""
    parts = path.relative_to(HOUSE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def drawn() -> Iterator[str]:
    """Yield every module that the page's tree names."""
    for line in block("The house").splitlines()[1:]:
        first, *others = line.split()
        if line.startswith("  __init__"):
            yield from (first, *others)
        elif first.endswith("/"):
            yield first.rstrip("/").replace("/", ".")
            yield from (f"{first.replace('/', '.')}{other}" for other in others)
        else:
            yield first


def test_the_tree_on_the_page_is_the_tree_on_disk() -> None:
    assert sorted(drawn()) == sorted(map(name_of, MODULES))
    assert len(list(HOUSE.glob("*.py"))) <= MOST_AT_THE_TOP


def test_a_file_name_occurs_once() -> None:
    names = Counter(path.stem for path in MODULES)
    repeated = {name for name, count in names.items() if count > 1}
    assert repeated == {"__init__", "stage"}


def imported(path: Path) -> Iterator[str]:
    """Yield every own module that a file imports, wherever in it."""
    known = set(map(name_of, MODULES))
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            own = name.removeprefix("bitextmine.")
            if own != name:
                yield own if own in known else own.rpartition(".")[0] or "__init__"


def room_of(module: str) -> str:
    """Name the room of a floor that a module is in."""
    return module.partition(".")[0]


FLOORS = [line.split() for line in block("Which way imports point").splitlines()]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
DOORS = {"__init__", "__main__"}  # what users see of the house leads everywhere


def test_every_room_is_on_a_floor() -> None:
    assert {room_of(name_of(path)) for path in MODULES} - DOORS == set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_to_lower_floors(path: Path) -> None:
    own = room_of(name_of(path))
    if own in DOORS:
        return
    rooms = {room_of(module) for module in imported(path)} - DOORS
    wrong = {room for room in rooms if FLOOR[room] < FLOOR[own]}
    assert not wrong


def test_no_imports_go_in_circles() -> None:
    graph = {name_of(path): set(imported(path)) - {name_of(path)} for path in MODULES}
    TopologicalSorter({name: needs - DOORS for name, needs in graph.items()}).prepare()


def test_stages_do_not_open_each_others_doors() -> None:
    stages = {"shard", "encode", "search", "select", "write"}
    for path in MODULES:
        own = name_of(path)
        if room_of(own) in stages:
            doors = {m for m in imported(path) if m.endswith(".stage") and room_of(m) in stages}
            assert doors <= ({"select.stage"} if own == "write.stage" else set()), own


def test_no_stage_names_an_engine() -> None:
    for path in MODULES:
        if room_of(name_of(path)) in {"shard", "encode", "search", "select", "write", "runcard"}:
            engines = {m for m in imported(path) if room_of(m) == "engines"}
            assert engines <= {"engines.engine"}, path


def test_mine_on_the_page_is_mine() -> None:
    source = textwrap.dedent(inspect.getsource(pipeline.mine))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.FunctionDef)
    told = re.search(r"```python\n(.*?)```", section("The journey"), re.DOTALL)
    assert told is not None
    on_the_page = ast.parse(f"def mine():\n{textwrap.indent(told[1], '    ')}").body[0]
    assert isinstance(on_the_page, ast.FunctionDef)
    assert [ast.dump(line) for line in body.body[1:]] == [
        ast.dump(line) for line in on_the_page.body
    ]
