"""Registries and plug-ins: names, hints, where an entry comes from, and plug-ins that cannot be used."""

import itertools
import sys
import warnings

import pytest

from palpate.core import registry
from palpate.core.errors import InputError
from palpate.core.registry import Registry

HOUSES = (f"house{number}" for number in itertools.count())


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A registry with a home of its own, which holds "circle" and "square", and a folder in which plug-ins are found."""
    house = next(HOUSES)
    home = tmp_path / house
    home.mkdir()
    (home / "__init__.py").write_text("")
    (home / "round.py").write_text(
        "from palpate.core import registry\n@registry.SHAPES.register('circle')\nclass Circle:\n    pass\n"
    )
    (home / "straight.py").write_text("from palpate.core import registry\nregistry.SHAPES.add('square', 4)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_ALL", [])
    monkeypatch.setattr(registry, "SHAPES", Registry("shape", house), raising=False)
    monkeypatch.setattr(registry, "_plugins_loaded", False)
    monkeypatch.setattr(registry, "GROUP", f"{house}.plugins")
    modules = set(sys.modules)
    yield registry.SHAPES
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def plugin(shapes, tmp_path):
    """A function that installs a plug-in: the distribution's name and the code of its module."""

    def install(name: str, code: str) -> None:
        module = f"{shapes.home}_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(f"from palpate.core import registry\n{code}\n")
        told = tmp_path / f"{module}-1.0.dist-info"
        told.mkdir()
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (told / "entry_points.txt").write_text(f"[{shapes.home}.plugins]\n{name} = {module}\n")

    return install


def warned(shapes) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        len(shapes)
    return [str(each.message) for each in found]


def test_nothing_is_imported_before_the_first_look(shapes):
    assert f"{shapes.home}.round" not in sys.modules
    assert sorted(shapes) == ["circle", "square"]
    assert shapes["circle"].__name__ == "Circle"


def test_unknown_name_is_refused_with_the_nearest(shapes):
    with pytest.raises(
        InputError, match=r"shape must be one of 'circle', 'square', given 'sqare'; did you mean 'square'\?"
    ):
        shapes["sqare"]


def test_name_is_taken_once(shapes):
    assert "square" in shapes
    with pytest.raises(InputError, match="shape 'square' of tests is registered already by house"):
        shapes.add("square", 5)
    assert shapes["square"] == 4


def test_reference_is_imported_when_asked_for(shapes):
    shapes.add("tau", "math:tau")
    shapes.add("absent", "no_such_module:shape")
    assert shapes["tau"] == pytest.approx(6.2831853)
    assert "absent" in shapes
    with pytest.raises(ModuleNotFoundError):
        shapes["absent"]


def test_entries_tell_the_package(shapes, plugin):
    plugin("corner-shapes", "registry.SHAPES.add('corner', 1)")
    assert warned(shapes) == []
    assert {entry.name: entry.package for entry in shapes.entries()} == {
        "circle": shapes.home,
        "square": shapes.home,
        "corner": "corner-shapes",
    }


def test_plugin_that_imports_the_home_first_does_not_own_its_entries(shapes, plugin):
    plugin("early", f"import {shapes.home}.round, {shapes.home}.straight\nregistry.SHAPES.add('corner', 1)")
    registry.load_plugins()
    assert {entry.name: entry.package for entry in shapes.entries()} == {
        "circle": shapes.home,
        "square": shapes.home,
        "corner": "early",
    }


def test_plugins_that_cannot_be_used_are_named_and_the_rest_goes_on(shapes, plugin):
    plugin("broken", f"import {shapes.home}.round\nregistry.SHAPES.add('half', 1)\nimport no_such_module")
    plugin("future", "palpate_interface = 99\nregistry.SHAPES.add('cube', 8)")
    plugin("taker", "registry.SHAPES.add('square', 5)")
    plugin("useful", "registry.SHAPES.add('corner', 1)")
    told = warned(shapes)
    assert sorted(shapes) == ["circle", "corner", "square"]
    assert shapes["square"] == 4
    assert len(told) == 3, told
    for start in (
        "plug-in 'broken' of broken was left out: ModuleNotFoundError: No module named 'no_such_module'",
        "plug-in 'future' of future was left out: it needs plug-in interface 99, and this palpate has 1; update palpate",
        f"plug-in 'taker' of taker was left out: shape 'square' of taker is registered already by {shapes.home}; choose",
    ):
        assert any(line.startswith(start) for line in told), (start, told)
    assert warned(shapes) == []


def test_built_in_keeps_its_name_when_a_plugin_comes_first(shapes, plugin):
    plugin("taker", "registry.SHAPES.add('square', 5)")
    registry.load_plugins()
    assert warned(shapes) == ["shape 'square' of taker was left out: palpate has one of that name"]
    assert shapes["square"] == 4
