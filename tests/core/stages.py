"""Two stages of a study, and functions that make them in a run folder."""

from palpate.core.records import Parent, StageOutput, TaskRecord
from palpate.core.run_folder import RunFolder

STAGE = StageOutput(
    kind="train", fingerprint="0123456789abcdef", title="train a", task="t", model_id="a#0", spec={"epochs": 1}
)
CHILD = StageOutput(
    kind="predict",
    fingerprint="fedcba9876543210",
    title="predict a",
    task="t",
    model_id="a#0",
    spec={},
    parents=(Parent(kind="train", id=STAGE.id, role="model"),),
)
TASK = TaskRecord(
    title="T",
    classes=("no", "yes"),
    finding="f",
    licence="-",
    cite="-",
    kind="synthetic",
    size=32,
    images={"train": 1, "val": 1, "test": 1},
    groups={"train": 1, "val": 1, "test": 1},
    majority_rate=0.5,
    identity="0" * 64,
    notes=(),
    epsilons=(0.1,),
)


def make(run: RunFolder, text: str = "weights") -> None:
    with run.making(STAGE, "cpu", "abc") as (folder, facts):
        (folder / "weights.safetensors").write_text(text)
        facts["epochs"] = 1


def write_study(run: RunFolder, name: str = "s") -> None:
    run.write_study(name=name, title=name, tasks={"t": TASK}, stages=(STAGE, CHILD), spec={})


def make_child(run: RunFolder, text: str = "rows") -> None:
    with run.making(CHILD, "cpu", None) as (folder, _):
        (folder / "images.parquet").write_text(text)
