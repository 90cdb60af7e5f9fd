"""The trust stage: checks of whether standard PGD would overestimate the model's robustness, and whether the sweep's result can be trusted."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from palpate.attacks.result import Sweep
from palpate.core import formatting
from palpate.core.io import write_json
from palpate.core.records import StageOutput, summarise_verdicts
from palpate.study.spec import AttackSpec
from palpate.study.stages.attack import EXAMINED, attacked_images
from palpate.study.stages.context import Context
from palpate.study.stages.kept import KeptState
from palpate.verdicts.api import trust


def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Examine the first images of an attack by the sweep; another model of the task serves as the sibling."""
    attack = AttackSpec.read(stage.spec.get("attack", {"attack": "standard"}), stage.title)
    split, places, _ = attacked_images(context, stage.task, attack)
    found = None
    if stage.parent("attack"):
        kept = split.images[places[:EXAMINED]]
        found = Sweep.load(context.parent(stage, "attack") / "sweep.npz", kept).first(stage.spec["images"])
        places = places[: len(found)]
    places = places[: min(stage.spec["images"], EXAMINED)]
    images = split.images[places]
    labels = torch.as_tensor(np.asarray(split.labels)[places], dtype=torch.long)
    other = stage.parent("sibling")
    sibling = context.trained(stage, "sibling") if other and context.run.complete(other.id) else None
    how: dict[str, Any] = {"sweep": found, "sibling": sibling, "budget": stage.spec.get("budget")}
    how |= {"progress": context.progress(stage), "resume": KeptState(context.kept(stage), "check")}
    how["expect"] = None if attack.aimed else stage.spec.get("expect")
    with formatting.native(context.dataset(stage.task).scale):
        verdicts = trust(context.trained(stage), images, labels, stage.spec["epsilons"], **how)
    write_json(folder / "verdicts.json", [verdict.to_dict() for verdict in verdicts])
    facts |= dict.fromkeys(("result", "summary"), summarise_verdicts(verdicts))
    for name in ("passes_forward", "passes_backward"):
        facts[name] = sum(getattr(verdict, name) for verdict in verdicts)
