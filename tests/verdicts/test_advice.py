"""The sentences of the checks: each is used, and each of its places is filled where it is."""

import re
import string
import tomllib

import pytest
from tests.sources import ROOT

HOUSE = ROOT / "src" / "palpate" / "verdicts"
ADVICE = tomllib.loads((HOUSE / "advice.toml").read_text(encoding="utf-8"))
SOURCES = {path: path.read_text(encoding="utf-8") for path in HOUSE.glob("*.py")}


def users(name: str) -> list[str]:
    """The sources that ask for the sentences of this name; a case may be chosen when a check runs."""
    asked = (f'said("{name}"', f'said(f"{name.partition(",")[0]}, {{')
    return [text for text in SOURCES.values() if any(each in text for each in asked)]


@pytest.mark.parametrize("name", ADVICE)
def test_sentences_are_used_and_their_places_filled(name):
    (source,) = users(name)
    places = {place for sentence in ADVICE[name] for _, place, _, _ in string.Formatter().parse(sentence) if place}
    missing = {place for place in places if not re.search(rf'\b{place}=|"{place}":', source)}
    assert not missing
    assert all(each == each.strip() and "  " not in each for each in ADVICE[name])


def test_what_is_asked_for_is_there():
    asked = {name for text in SOURCES.values() for name in re.findall(r'said\("([^"]+)"', text)}
    assert asked <= ADVICE.keys()
