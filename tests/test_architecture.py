"""The rules of docs/design.md that a machine can check: who imports whom, sizes, and that the core works without its plug-in.

The table of rooms in docs/design.md is read here, so the page cannot differ from the code, and the contracts of pyproject.toml must forbid
exactly what the table does not allow.
"""

import ast
import graphlib
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from tests.sources import HOUSE, ROOT, text_files

import palpate

MOST_LINES = 300  # of one file
MOST_CODE_LINES = (
    18_700  # of src/, without blanks, comments and docstrings; docs/design.md says what it should come down to
)
MOST_PARAMETERS = 8
MOST_POSITIONAL = 5  # of a public call with more parameters than that

HEAVY = {"torch", "torchvision", "timm", "captum", "foolbox", "lightning_fabric", "safetensors"}
WITHOUT_TORCH = {"core", "statistics", "report"}


@cache
def files() -> dict[str, Path]:
    """The modules of palpate by their dotted names."""
    found = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports anywhere in its file, for type checkers only too: its own modules by their full names, others by the first."""
    found: set[str] = set()
    for node in ast.walk(tree(files()[module])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import in line {node.lineno}; imports are absolute here"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in files() else str(node.module) for name in names}
    return frozenset(name if name in files() else name.split(".")[0] for name in found) - {module}


def room(module: str) -> str:
    """The room of a module; "" for `palpate` itself."""
    return module.split(".")[1] if "." in module else ""


@cache
def allowed() -> dict[str, frozenset[str]]:
    """The table of docs/design.md: from each room to the rooms that it may import."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| `(\w+)/` \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    assert lines, "docs/design.md has no table of rooms: | `room/` | what it holds | rooms that it may import |"
    rooms = {name for name, _ in lines}
    table = {}
    for name, text in lines:
        named = set(re.findall(r"`(\w+)/`", text))
        assert named <= rooms, f"docs/design.md: {name} may import {named - rooms}, which are no rooms"
        table[name] = frozenset(rooms - {name, "papers", "cli"} if "every room below" in text else named)
    table["papers"] = frozenset(rooms - {"papers"})
    return table


def test_every_room_is_in_the_table():
    assert {room(module) for module in files()} - {""} == set(allowed())


def test_no_room_imports_what_the_table_does_not_allow():
    wrong = [
        f"{module} imports {other}"
        for module in files()
        for other in imports(module)
        if other.startswith("palpate.") and room(module) and room(other) not in {room(module), *allowed()[room(module)]}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_palpate_itself():
    """`palpate/__init__.py` names every public function, so a module that imports it depends on all rooms."""
    wrong = [module for module in files() if "palpate" in imports(module) and room(module) not in ("cli", "papers", "")]
    assert not wrong, wrong


def test_extras_are_imported_only_where_they_are_used():
    """At the top of no file, so that palpate works without its extras."""
    wrong = [
        f"{module}: {ast.unparse(node)}"
        for module, path in files().items()
        for node in tree(path).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and re.match(r"(import|from) (foolbox|eagerpy|h5py|pydicom|gdcm|monai|ray)\b", ast.unparse(node))
    ]
    assert not wrong, "\n".join(wrong)


def test_results_import_no_torch():
    wrong = [
        f"{module} imports {heavy}"
        for module in files()
        if room(module) in WITHOUT_TORCH
        for heavy in imports(module) & HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_make_no_cycle():
    graph = {module: {other for other in imports(module) if other in files()} for module in files()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_contracts_forbid_exactly_what_the_table_does_not_allow():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden: set[tuple[str, str]] = set()
    for contract in contracts:
        assert not contract.get("ignore_imports"), f"{contract['name']}: an exception that docs/design.md does not name"
        if contract["type"] == "layers":
            layers = [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]
            for place, layer in enumerate(layers):
                above = [name for higher in layers[:place] for name in higher]
                forbidden |= {(one, other) for one in layer for other in [*above, *layer] if one != other}
        else:
            pairs = product(contract["source_modules"], contract["forbidden_modules"])
            whole = [(one.split("."), other.split(".")) for one, other in pairs]
            forbidden |= {(one[1], other[1]) for one, other in whole if other[0] == "palpate" and len(other) == 2}
    rooms = allowed()
    for one, other in product(rooms, rooms):
        if one != other:
            told = "forbid" if (one, other) in forbidden else "allow"
            table = "allow" if other in rooms[one] else "forbid"
            assert told == table, f"{one} → {other}: the contracts {told} it, the table of docs/design.md {table}s it"


def test_no_file_is_longer_than_one_sitting():
    places = [ROOT / name for name in ("src", "tests", "benchmarks", "examples")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in text_files(*places)}
    wrong = [f"{path.relative_to(ROOT)}: {length}" for path, length in lengths.items() if length > MOST_LINES]
    assert not wrong, "\n".join(wrong)


def test_every_file_opens_with_its_purpose():
    wrong = [str(path.relative_to(ROOT)) for path in files().values() if not ast.get_docstring(tree(path))]
    assert not wrong, "\n".join(wrong)


def test_functions_have_few_parameters():
    """More than 8 only in a public call, which takes what follows the data by name, and in a command, where they are its options."""
    public = {*palpate.__all__, "from_folder", "from_table", "from_arrays", "from_torch", "sweep_blocks"}
    wrong = []
    for module, path in files().items():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            positional = [each.arg for each in [*node.args.posonlyargs, *node.args.args]]
            positional = positional[1:] if positional[:1] in (["self"], ["cls"]) else positional
            if len(positional) + len(node.args.kwonlyargs) <= MOST_PARAMETERS:
                continue
            command = room(module) == "cli" and not node.name.startswith("_")
            if not command and (node.name not in public or len(positional) > MOST_POSITIONAL):
                wrong.append(f"{module}.{node.name}: {len(positional)} and by name {len(node.args.kwonlyargs)}")
    assert not wrong, "\n".join(wrong)


def code_lines(path: Path) -> int:
    """Lines that hold code: neither blank nor only a comment, nor part of a docstring."""
    skipped: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type not in empty:
            held |= set(range(token.start[0], token.end[0] + 1))
    return len(held - skipped)


def test_code_lines_are_counted_as_said(tmp_path):
    path = tmp_path / "one.py"
    path.write_text('"""Two\n\nlines."""\n\n# a comment\nx = (\n    1  # one\n)\n\ny = """\na\n"""\n"""About y."""\n')
    assert code_lines(path) == 6


def test_the_house_stays_small():
    total = {module: code_lines(path) for module, path in files().items()}
    by_room = {name: sum(n for module, n in total.items() if room(module) == name) for name in [*allowed(), ""]}
    assert sum(total.values()) <= MOST_CODE_LINES, f"{sum(total.values())} code lines: {by_room}"


WITHOUT_PAPERS = """
import importlib, pkgutil, sys, warnings
from pathlib import Path
warnings.filterwarnings("ignore", "plug-in 'wasserman2022'")   # its entry point is installed, its folder is gone
import palpate
out = Path(sys.argv[1])
assert Path(palpate.__file__).is_relative_to(out), palpate.__file__
for module in pkgutil.walk_packages(palpate.__path__, "palpate."):
    importlib.import_module(module.name)
assert not any("papers" in name for name in sys.modules)
study = out / "study.toml"
study.write_text('''
name = "tiny"
seeds = [0]
[[tasks]]
name = "phantom-skin"
size = 32
train_images = 24
val_images = 8
test_images = 8
epsilons = ["4/255"]
training = { epochs = 1, batch_size = 8 }
[[models]]
backbone = "test_resnet"
output_stride = 8
[[attacks]]
attack = "fast"
images = 4
[trust]
images = 4
budget = 100
''')
palpate.run(palpate.read_study(study), out / "run")
assert "4/255" in (out / "run" / "report.html").read_text()
print("complete")
"""


def test_core_works_without_the_paper(tmp_path):
    shutil.copytree(HOUSE, tmp_path / "palpate", ignore=shutil.ignore_patterns("papers", "__pycache__"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_PAPERS, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("complete")
