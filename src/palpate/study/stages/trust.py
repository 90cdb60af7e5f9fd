"""The trust cell: checks of whether the model would mislead the usual attack, and whether the sweep's result can be believed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from palpate.attacks.result import Sweep
from palpate.core.progress import progress_bar
from palpate.core.run_folder import Cell
from palpate.models.weights import load_weights
from palpate.study.stages.attack import EXAMINED
from palpate.study.stages.context import Context
from palpate.verdicts.api import trust
from palpate.verdicts.verdict import summary


def make(cell: Cell, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Examine the first images of an attack by the sweep; another model of the task serves as the sibling."""
    split = context.dataset(cell.task).test
    count = min(cell.spec["images"], EXAMINED)
    found, sibling = None, None
    for parent in cell.parents:
        if parent.startswith("attack-"):
            context.run.verify(parent)
            found = Sweep.load(context.run.folder(parent) / "sweep.npz", split.images[:EXAMINED]).first(count)
            count = len(found)
    images = split.images[:count]
    labels = torch.as_tensor(np.asarray(split.labels)[:count], dtype=torch.long)
    others = [parent for parent in cell.parents if parent.startswith("train-")][1:]
    if others:
        sibling = load_weights(context.run.folder(others[0]) / "weights.safetensors").to(context.device).eval()
    with progress_bar(context.console, cell.title) as progress:
        verdicts = trust(
            context.trained(cell),
            images,
            labels,
            cell.spec["epsilons"],
            sweep=found,
            sibling=sibling,
            budget=cell.spec.get("budget"),
            progress=progress,
        )
    (folder / "verdicts.json").write_text(json.dumps([verdict.to_dict() for verdict in verdicts], indent=1) + "\n")
    facts |= {
        "summary": summary(verdicts),
        "passes_forward": sum(verdict.passes[0] for verdict in verdicts),
        "passes_backward": sum(verdict.passes[1] for verdict in verdicts),
    }
