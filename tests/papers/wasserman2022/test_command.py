"""`palpate paper` and its studies."""

from importlib import resources

import pytest
from typer.testing import CliRunner

from palpate.cli.main import application
from palpate.study.spec import read_study

STUDIES = sorted(
    file.name
    for file in resources.files("palpate.papers.wasserman2022").joinpath("studies").iterdir()
    if file.name.endswith(".toml")
)


def call(*arguments: str) -> str:
    result = CliRunner().invoke(application(), ["paper", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_studies_are_written_once_and_can_be_read(tmp_path):
    assert call("studies", str(tmp_path / "new")).split() == [str(tmp_path / "new" / name) for name in STUDIES]
    (tmp_path / "new" / "paper.toml").write_text("mine")
    assert call("studies", str(tmp_path / "new")) == ""
    assert (tmp_path / "new" / "paper.toml").read_text() == "mine"


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_valid(name, tmp_path):
    call("studies", str(tmp_path))
    study = read_study(tmp_path / name)
    assert len(study.models) in (2, 4)
    if not name.startswith("paper-reduced"):
        assert [attack.attack.name for attack in study.attacks] == ["foolbox-pgd-40", "standard"]
        smallest = {task.name: study.epsilons_of(task)[0] for task in study.tasks}
        expected = {"ham10000": 0.00125, "kaggledr": 0.01 / 255, "chestxray14": 0.01 / 255}
        assert smallest.items() <= expected.items()


def test_figures_and_the_page_are_written(whole_run, tmp_path):
    assert "figure-3-accuracy-phantom-skin.pdf" in call("figures", str(whole_run), "--out", str(tmp_path / "figures"))
    assert call("compare", str(whole_run), "--out", str(tmp_path / "page.html")).strip() == str(tmp_path / "page.html")
    assert "Number by number" in (tmp_path / "page.html").read_text()
