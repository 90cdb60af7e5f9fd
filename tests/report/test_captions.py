"""The captions of the report's tables: each is used, and each of its places is filled where it is."""

import re
import string
import tomllib

import pytest
from tests.sources import ROOT

SECTIONS = ROOT / "src" / "palpate" / "report" / "sections"
CAPTIONS = tomllib.loads((SECTIONS / "captions.toml").read_text(encoding="utf-8"))
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in SECTIONS.glob("*.py")}
BY_NAME = {"subgroups": ("missed disease", "false alarm", "misclassified"), "map_similarity": ("maps-",)}
"""Captions that a section chooses by what it finds, by the starts of their names."""


def user(name: str) -> str:
    """The source that asks for the caption of this name."""
    chosen = [SOURCES[section] for section, starts in BY_NAME.items() if name.startswith(starts)]
    (found,) = chosen or [text for text in SOURCES.values() if re.search(rf"""caption\(["']{name}["']""", text)]
    return found


@pytest.mark.parametrize("name", CAPTIONS)
def test_captions_are_used_and_their_places_filled(name):
    source = user(name)
    places = {place.partition("[")[0] for _, place, _, _ in string.Formatter().parse(CAPTIONS[name]) if place}
    assert not {place for place in places if not re.search(rf"\b{place}=", source)}
    assert CAPTIONS[name] == CAPTIONS[name].strip()
    assert "  " not in CAPTIONS[name]


def test_what_is_asked_for_is_there():
    asked = {name for text in SOURCES.values() for name in re.findall(r"""caption\(["']([^"']+)["']""", text)}
    assert asked <= CAPTIONS.keys()
