"""The tasks of docs/tasks.md as a new user would do them."""

import re
import threading

import polars as pl
import pytest
from tests.report.browsing import new_page, until
from tests.runs import rewrite
from typer.testing import CliRunner

from palpate.cli.main import application
from palpate.core import rows
from palpate.report.run_data import read
from palpate.report.viewer.server import open_server
from palpate.statistics.paired import compare


def palpate(*words: object) -> str:
    done = CliRunner().invoke(application(), [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in which the second model keeps more images at every epsilon."""
    from tests.report.conftest import write_run

    run = write_run(
        tmp_path_factory.mktemp("tasks") / "run", tasks={"phantom-chest": ["no", "yes"]}, weak=(), samples=12
    )
    for stage in read(run).complete("attack"):
        path = stage.folder / "images.parquet"
        number, index = pl.col("image_id").str.slice(5).cast(pl.Int64), pl.col("epsilon_index")
        kept = 48 - (4 if "full" in stage.model_id else 7) * index
        rewrite(rows.read(path).with_columns(correct=number < kept), path)
    return run


def test_the_most_robust_model_is_the_first_row(run):
    printed = palpate("report", run)
    first = re.search(r"^ *1 +(\S+)", printed, re.MULTILINE)
    assert first is not None
    assert first[1] == "resnet10t+full"


def test_missed_diseases_take_two_actions(run, browser):
    server = open_server([run], 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    page = new_page(browser)
    page.goto(server.url)
    until(page, "document.querySelector('.viewer').dataset.ready === 'yes'")
    page.locator("select[data-name=filter]").select_option(label="missed disease at this step")
    page.locator(".v-stepping input").first.fill("6")
    page.wait_for_timeout(500)  # the list follows when the slider stands still
    names = [text.split()[-1] for text in page.locator(".v-list li").all_inner_texts()]
    scene = server.scenes[0].to_dict()
    expected = [
        one
        for place, one in enumerate(scene["ids"])
        if scene["labels"][place] == 1 and any(view["predictions"][6][place] == 0 for view in scene["views"])
    ]
    assert names == expected
    assert len(names) >= 3
    again = new_page(browser)
    again.goto(f"{server.url}#view?filter=missed&step=0.04")
    until(again, "document.querySelector('.viewer').dataset.ready === 'yes'")
    assert [text.split()[-1] for text in again.locator(".v-list li").all_inner_texts()] == names
    for one in (page, again):
        assert one.troubles == []
        one.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_main_figure_is_a_file(run):
    palpate("report", run)
    for suffix in ("pdf", "svg", "png"):
        assert (run / "figures" / f"phantom-chest-foolbox-pgd-20.{suffix}").stat().st_size > 5_000


def test_two_runs_are_compared_on_the_same_images(run, make_run):
    other = make_run(tasks={"phantom-chest": ["no", "yes"]}, weak=(), samples=12)
    files = [
        read(each).complete("attack", model_id="resnet10t#0")[0].folder / "images.parquet" for each in (run, other)
    ]
    found = compare(*files)
    assert (found.a, found.b, found.images) == ("resnet10t#0", "resnet10t#0", 48)
    assert "points at ε" in str(found)


@pytest.mark.parametrize(("minimum", "status"), [(0.3, 0), (0.99, 1), (0.62, 3)])
def test_a_release_is_gated_by_one_command(run, tmp_path, minimum, status):
    """At ε = 0.01 the two models keep 32 and 20 of 48 images; on both a bound is met, unmet or undecided."""
    criteria = tmp_path / "criteria.toml"
    criteria.write_text(
        'name = "release"\ndate = 2026-03-02\n[[criteria]]\nname = "robust"\nmetric = "robust accuracy"\n'
        f'model = "resnet10t+full#0"\nepsilon = 0.01\nminimum = {minimum}\n'
    )
    done = CliRunner().invoke(application(), ["check", str(criteria), str(run)])
    assert done.exit_code == status, done.output
