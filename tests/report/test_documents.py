"""Methods, references, model cards and the bill of materials say what the run holds, can be read by others, and repeat byte by byte."""

import json
import re

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard

from palpate.report.model_cards import bill_of_materials, model_cards
from palpate.report.page.page import write_report
from palpate.report.run_data import read
from palpate.report.sections.limits import ALWAYS, limits
from palpate.report.sections.methods import ATTACKS, MAPS, cited, methods

EVIL = "</script><img src=x onerror=alert(1)>|a\n# b"


@pytest.fixture(scope="module")
def data(whole_run):
    return read(whole_run)


def test_the_methods_cite_only_what_the_bibliography_holds(data):
    paragraphs = methods(data)
    text = "\n".join(paragraphs)
    keys = set(re.findall(r"\[([a-z]+\d{4}|palpate)\]", text))
    assert {"madry2018", "rauber2017", "selvaraju2017", "wilson1927", "holm1979", "palpate"} <= keys
    found = re.findall(r"^@\w+\{(\w+),$", cited(paragraphs), re.MULTILINE)
    assert set(found) == keys
    assert "400 training, 60 validation, 60 test images" in text
    assert "at ε = 0.00125 (0.319/255)" in text
    assert "The attack was not verified." in text


def test_every_source_that_may_be_cited_is_in_the_file():
    texts = [*ATTACKS.values(), *MAPS.values()]
    for text in texts:
        for key in re.findall(r"\[([^\]]*)\]", text):
            assert f"{{{key}," in cited([text]), key
    entries = cited(["[palpate]"])
    assert entries.count("{") == entries.count("}")


def test_a_model_card_is_read_by_the_hub_library(data):
    cards = model_cards(data)
    assert list(cards) == [
        f"phantom-{task}-{model}" for task in ("skin", "chest") for model in ("resnet10t-0", "resnet10t+full-0")
    ]
    card = ModelCard(cards["phantom-skin-resnet10t-0"])
    assert card.data.pipeline_tag == "image-classification"
    curve = next(one for one in data.results.tasks["phantom-skin"].curves if one.model_id == "resnet10t#0")
    found = {one.metric_name: one.metric_value for one in card.data.eval_results or ()}
    assert found["clean accuracy"] == curve.clean.accuracy
    for point in curve.attacked:
        assert found[f"accuracy under foolbox-pgd-20 at ε = {point.epsilon:.6g} (linf)"] == point.accuracy
    assert "not a medical device" in card.text
    assert "Not verified" in card.text


def test_names_from_outside_break_neither_card_nor_file(make_run):
    run = make_run(tasks={"phantom-skin": [EVIL, "b"]}, models=((EVIL, "none"),), weak=(), samples=1)
    ((name, card),) = model_cards(read(run)).items()
    assert re.fullmatch(r"[A-Za-z0-9._+-]+", name)
    assert "<img" not in card.partition("---\n\n")[2]
    assert ModelCard(card).data.model_name == EVIL + "#0"
    assert not re.search(r"^# b", card, re.MULTILINE)


def test_the_bill_of_materials_names_packages_weights_and_data(data):
    found = bill_of_materials(data)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    parts = {one["bom-ref"]: one for one in found["components"]}
    assert len(parts) == len(found["components"])
    assert parts["pkg:pypi/torch@2.15.0"]["version"] == "2.15.0"
    weights = [one for one in parts.values() if one["type"] == "machine-learning-model"]
    assert len(weights) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", one["hashes"][0]["content"]) for one in weights)
    assert parts["data-phantom-skin"]["licenses"] == [{"license": {"name": "CC0-1.0"}}]


def test_the_bill_of_materials_follows_the_schema_of_cyclonedx(data, make_run):
    validator = JsonStrictValidator(SchemaVersion.V1_5)
    hostile = read(make_run(tasks={"phantom-skin": [EVIL, "b"]}, models=((EVIL, "none"),), weak=(), samples=1))
    for one in (data, hostile):
        assert validator.validate_str(json.dumps(bill_of_materials(one), allow_nan=False)) is None
    wrong = bill_of_materials(data) | {"components": [{"type": "dream", "name": "x"}]}
    assert validator.validate_str(json.dumps(wrong)) is not None


def test_limits_are_those_of_this_run(data, make_run):
    text = " ".join(limits(data))
    assert all(one in text for one in ALWAYS)
    assert "no checks were run" in text
    assert "images are synthetic" in text
    assert "48 images attacked, so intervals are wide" in text
    assert "2 models of one training each" in text
    seeds = " ".join(limits(read(make_run(seeds=(0, 1), verdicts=True, samples=1))))
    assert "one training each" not in seeds
    assert "A check failed for 8 results" in seeds


def test_all_files_are_written_and_repeat(make_run):
    run = make_run(samples=1)
    names = [
        "methods.md",
        "references.bib",
        "sbom.json",
        "results.json",
        "models/phantom-skin-resnet10t-0/README.md",
        "tables/phantom-skin-radii.csv",
    ]
    write_report(run)
    first = [(run / name).read_bytes() for name in names]
    write_report(run)
    assert [(run / name).read_bytes() for name in names] == first
