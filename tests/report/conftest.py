"""A synthetic run folder, so that the report is tested without training anything.

The folder has the exact layout that a study writes. `write_run` takes the
difficulties of a real run as switches: a model without signal, empty maps, a failed and a missing stage.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.report import contents
from tests.runs import seal

from palpate.core import rows
from palpate.core.io import write_json, write_record
from palpate.core.records import FORMAT, Parent, StageOutput, StageRecord, StudyRecord
from palpate.core.run_folder import RunFolder


def _write_stage(run: Path, stage: StageOutput, facts: dict | None = None) -> Path:
    folder = run / stage.id
    folder.mkdir(parents=True)
    record = StageRecord(
        **dict(stage),
        versions={"python": "3.11.2", "torch": "2.15.0", "palpate": "0.1.0"},
        commit="0123456789ab",
        device="cpu",
        seconds=12.5,
        created="2026-01-02T03:04:05+00:00",
        files={},
        made_from={},
        facts=facts or {},
    )
    write_record(folder / "stage.json", record.to_dict())
    if stage.kind == "train":
        (folder / "weights.safetensors").write_bytes(b"none")
    return folder


def write_run(
    run: Path,
    tasks: dict[str, list[str]] | None = None,
    n: int = 60,
    samples: int = 4,
    size: int = 64,
    weak: tuple[str, ...] = ("phantom-chest",),
    failed: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
    verdicts: bool = False,
    models: tuple[tuple[str, str], ...] = (("resnet10t", "none"), ("resnet10t", "full")),
    seeds: tuple[int, ...] = (0,),
    methods: tuple[str, ...] = ("grad-cam",),
) -> Path:
    """Write a run; `failed` and `missing` name kinds of stages of the first task's last model, `weak` tasks without signal."""
    rng = np.random.default_rng(7)
    tasks = tasks or {
        "phantom-skin": ["nevus", "melanoma", "keratosis"],
        "phantom-chest": ["no pneumothorax", "pneumothorax"],
    }
    run.mkdir(parents=True, exist_ok=True)
    planned: list[StageOutput] = []
    for task, classes in tasks.items():
        images, masks = contents.blobs(rng, samples, size, task)
        labels = rng.choice(len(classes), n, p=np.array([2, *[1] * (len(classes) - 1)]) / (len(classes) + 1))
        for backbone, attention in models:
            for seed in seeds:
                model = {
                    "model_id": f"{backbone}{'' if attention == 'none' else '+' + attention}#{seed}",
                    "backbone": backbone,
                    "attention": attention,
                    "training": "standard",
                    "seed": seed,
                }
                last = task == next(iter(tasks)) and (backbone, attention, seed) == (*models[-1], seeds[-1])
                made: dict[str, StageOutput] = {}
                kinds = ["train", "predict", "attack", *methods, *(["trust"] if verdicts else [])]
                for name in kinds:
                    kind = "explain" if name in methods else name
                    stage = made[kind] = _stage(kind, len(planned), task, model["model_id"], made, name)
                    planned.append(stage)
                    if last and kind in failed:
                        RunFolder(run).record_failure(stage, "RuntimeError: <injected>", "")
                    if last and kind in (*missing, *failed):
                        continue
                    folder = _write_stage(run, stage, {"parameters": 1000, "epochs": 12} if kind == "train" else None)
                    strength = 0.0 if task in weak else 1.8 if attention == "none" else 1.6
                    if kind == "train":
                        contents.history(task, model["model_id"], seed).write_parquet(folder / "history.parquet")
                    elif kind == "predict":
                        parts = [
                            contents.model_rows(rng, task, classes, model, split, labels, strength, False)
                            for split in ("val", "test")
                        ]
                        rows.write(pl.concat(parts), folder / "images.parquet")
                    elif kind == "attack":
                        part = contents.model_rows(
                            rng, task, classes, model, "test", labels[: n * 4 // 5], strength, True
                        )
                        rows.write(part, folder / "images.parquet")
                        contents.samples(rng, folder, images, masks, labels[:samples], classes)
                    elif kind == "explain":
                        void = attention == "full"
                        attack = run / made["attack"].id
                        contents.explain(
                            rng, folder, attack, task, model["model_id"], masks, labels[:samples], void, name
                        )
                    else:
                        write_json(folder / "verdicts.json", [verdict.to_dict() for verdict in contents.verdicts()])
    record = StudyRecord(
        format=FORMAT,
        palpate="0.1.0",
        created="2026-01-02T03:04:05+00:00",
        name="synthetic",
        title="Synthetic",
        tasks={task: contents.task_record(task, classes, n, size) for task, classes in tasks.items()},
        stages=tuple(planned),
        spec={"name": "synthetic"},
    )
    write_record(run / "study.json", record.to_dict())
    seal(run)
    return run


def _stage(kind, number: int, task: str, model_id: str, made: dict[str, StageOutput], method: str) -> StageOutput:
    """A planned stage, with the parents that such a stage has."""
    roles = {"predict": ["model"], "attack": ["model"], "explain": ["model", "attack"], "trust": ["model", "attack"]}
    kinds = {"model": "train", "attack": "attack"}
    parents = [
        Parent(kind=made[kinds[role]].kind, id=made[kinds[role]].id, role=role)  # pyright: ignore[reportArgumentType]
        for role in roles.get(kind, [])
    ]
    attack = {"attack": {"attack": "foolbox-pgd", "steps": 20, "seed": 0}, "epsilons": list(contents.EPSILONS)}
    return StageOutput(
        kind=kind,
        fingerprint=f"{number:016x}",
        title=f"{kind} {model_id} on {task}",
        task=task,
        model_id=model_id,
        spec=attack if kind == "attack" else {"training": {"epochs": 12}} if kind == "train" else {"method": method},
        parents=tuple(parents),
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, started when a test first looks at a page."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need Playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium, and the report is looked at in a browser")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"], timeout=180_000
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def written() -> dict[str, Path]:
    """Runs written already, by their switches, so that each is made once and copied."""
    return {}


@pytest.fixture
def make_run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, written: dict[str, Path]) -> Callable[..., Path]:
    """A function that writes a synthetic run below the test's own folder, to be changed at will, and gives its path."""

    def make(**switches) -> Path:
        key = repr(sorted(switches.items()))
        if key not in written:
            written[key] = write_run(tmp_path_factory.mktemp("written") / "run", **switches)
        return Path(shutil.copytree(written[key], tmp_path / "run"))

    return make


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run with two tasks, two models and no verdicts; read it, do not change it."""
    return write_run(tmp_path_factory.mktemp("whole") / "run")
