"""The print files hold the run's numbers and say what could not be drawn."""

import re

import cv2
import numpy as np
import pytest
from tests.runs import unmake

from palpate.core.errors import InputError
from palpate.papers.wasserman2022 import print_figures
from palpate.report.run_data import read


def test_every_figure_is_written_twice_with_the_papers_numbers(whole_run, tmp_path):
    files = print_figures.write(whole_run, tmp_path / "figures")
    names = [file.name for file in files]
    expected = [
        "figure-1-chest-filter",
        "figure-2-perturbation-phantom-skin",
        "figure-3-accuracy-phantom-skin",
        "figure-6-perturbation-phantom-chest",
        "figure-7-accuracy-phantom-chest",
    ]
    assert names == [name + suffix for name in expected for suffix in (".pdf", ".png")] + ["captions.md"]
    assert all(file.read_bytes().startswith(b"%PDF") for file in files if file.suffix == ".pdf")
    captions = files[-1].read_text()
    assert re.findall(r"\*\*(.+?)\.\*\*", captions) == expected
    assert "test_0000, label “" in captions
    assert "a synthetic image (no patient)" in captions


def test_clean_accuracy_is_dashed_beside_every_curve(whole_run):
    board = read(whole_run).results.tasks["phantom-skin"].leaderboards[0]
    drawn = print_figures.with_clean(board).axes[0]
    flat = {
        float(np.asarray(line.get_ydata())[0])
        for line in drawn.lines
        if np.asarray(line.get_xdata()).tolist() == [0, 1]
    }
    assert {entry.accuracy[0].value for entry in board.entries} <= flat


def test_figure_one_ends_with_what_the_network_sees():
    from palpate.data.preprocess import resize
    from palpate.papers.wasserman2022.image_filter import chest

    image = np.random.default_rng(0).integers(0, 255, (300, 280), np.uint8)
    steps = [np.asarray(axes.images[0].get_array()) for axes in print_figures.preprocessing(image).axes]
    assert np.array_equal(steps[0], image)
    assert (steps[1].min(), steps[1].max()) == (0, 255)
    assert np.array_equal(steps[3], chest(resize(image, 224)))
    assert np.array_equal(steps[3], np.clip(4.0 * steps[1] - 4.0 * steps[2] + 128, 0, 255))


def test_what_is_not_there_is_not_drawn_and_said(make_run, tmp_path):
    run = make_run(samples=2)
    for file in [*run.glob("explain-*/stage.json"), *run.glob("attack-*/stage.json")]:
        unmake(file)
    cv2.imwrite(str(tmp_path / "film.png"), np.eye(64, dtype=np.uint8) * 200)
    *pictures, captions = print_figures.write(run, tmp_path / "out", tmp_path / "film.png")
    assert len(pictures) == 2
    text = captions.read_text()
    assert "step by step, on film," in text
    assert text.count("Not drawn: no model of this task has been attacked yet.") == 2
    assert text.count("Not drawn: no model of this task has been explained yet.") == 2


def test_a_radiograph_must_be_a_picture(whole_run, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match="chest_image"):
        print_figures.write(whole_run, tmp_path / "out", tmp_path / "notes.txt")


def test_other_tasks_come_after_the_papers(make_run):
    names = ["blood", "phantom-chest", "phantom-skin", "tissue", "phantom-skin-2"]
    run = make_run(tasks={name: ["a", "b"] for name in names}, samples=1, n=12)
    found = print_figures.numbers(read(run))
    assert found == {"phantom-skin": 2, "phantom-chest": 6, "blood": 8, "tissue": 10, "phantom-skin-2": 12}
