"""The words of the repository: those of the field, and none of the paper in the rooms that every study uses."""

import re
from pathlib import Path

import pytest
from tests.sources import HOUSE, ROOT, text_files

FREE_OF_THE_PAPER = ("core", "data", "attacks", "verdicts", "statistics", "report")
OTHER_MEANINGS = re.compile(r'paper_bgcolor|[xy]?ref"?[=:] ?"paper"')  # Plotly's names of the sheet it draws on


@pytest.mark.parametrize("name", FREE_OF_THE_PAPER)
def test_core_names_no_paper(name):
    wrong = []
    for path in text_files(HOUSE / name):
        assert not re.search("wasserman|keras|paper", path.name), path
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search("wasserman|keras|paper", OTHER_MEANINGS.sub("", line), re.IGNORECASE):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


BANNED = """
    oracle door ledger museum exhibit exhibits planted bedside afresh arena settle settles hopeless shy climb climbs rung rungs ladder
    mend mends mended cell cells effort efforts carried material
    learned_by_heart presses_on press_on pressed_on gives_at_ε gives_at_epsilon stands_on which_way_they_err on_the_sign with_against_without
    no_difference_shown be_believed where_does_each_one_give where_each_one_gives where_it_gives mend_the_cause rows_of_a_race epsilon_reading
"""
"""Words of the first version that readers could not understand (the table of the design); "_" stands for a space or an underscore."""

ELSEWHERE = {
    "src/palpate/data/readers/medmnist.toml": {"cell", "cells"},  # of blood, and of kidneys
    "src/palpate/report/": {"cell", "cells"},  # of a table
    "tests/report/": {"cell", "cells"},
}
"""Words that mean something else in some files and folders."""


def words(text: str) -> str:
    """Text with its identifiers taken apart: "found.offerBest_now" → " found offer best now "."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return f" {' '.join(re.findall(r'[a-zε]+', text.lower()))} "


@pytest.mark.parametrize(
    "place", ["src", "README.md", "CONTRIBUTING.md", "docs", "examples", "studies", "tests", "benchmarks"]
)
def test_words_are_those_of_the_field(place):
    wrong = []
    for path in text_files(ROOT / place):
        name = path.relative_to(ROOT).as_posix()
        if path == Path(__file__):
            continue
        meant = [allowed for where, allowed in ELSEWHERE.items() if name.startswith(where)]
        banned = set(BANNED.split()).difference(*meant)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            held = words(line)
            wrong += [f"{name}:{number}: {each}" for each in sorted(banned) if f" {each.replace('_', ' ')} " in held]
    assert not wrong, f"{len(wrong)} places\n" + "\n".join(wrong)
