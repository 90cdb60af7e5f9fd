"""The train stage: a specification and a seed in, weights and a history out."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from palpate.core import formatting
from palpate.core.records import StageOutput
from palpate.models.memory import keep_large_arrays
from palpate.models.predict import Chosen, predict_logits
from palpate.models.weights import save_weights
from palpate.study.classifier import build_model, column, two_logits
from palpate.study.loggers import EpochLog
from palpate.study.stages.context import Context
from palpate.study.stages.kept import KeptState
from palpate.training.loop import fit
from palpate.training.objective import accuracy

MEMORISED = 512
"""Training images, at most, on which the kept model is judged in evaluation mode, to tell what it memorised."""


@keep_large_arrays()
def make(stage: StageOutput, context: Context, folder: Path, facts: dict[str, Any]) -> None:
    """Train one model and keep the epoch that the recipe says."""
    dataset = context.dataset(stage.task)
    spec, seed = context.model(stage)
    recipe = context.training(stage)
    names = spec.findings or dataset.findings or dataset.classes
    model = build_model(spec, seed, dataset.size, names, dataset.channels)
    place = None if dataset.findings else column(spec, dataset.finding)
    log = EpochLog(context.log, context.run.own("logs"), stage.id, stage.title) if context.log else None
    told: dict[str, Any] = {"progress": context.progress(stage), "log": log, "devices": context.devices}
    resume = KeptState(context.kept(stage), "epoch")
    history = fit(model, dataset, recipe, seed, str(context.device), resume=resume, **told)
    images = Chosen(dataset.train.images, np.arange(min(MEMORISED, len(dataset.train))))
    labels = np.asarray(dataset.train.labels)[: len(images)]
    ready = two_logits(model, place)
    train_accuracy = accuracy(predict_logits(ready, images), torch.as_tensor(labels)) if len(labels) else None
    extra = {"classes": list(names if dataset.findings else dataset.classes), "task": stage.task}
    extra |= {"findings": True} if dataset.findings else {} if place is None else {"column": place}
    save_weights(model, folder / "weights.safetensors", extra)
    keys = {"task": stage.task, "model_id": stage.model_id, "seed": seed}
    epochs = pl.DataFrame([keys | dataclasses.asdict(epoch) for epoch in history.epochs])
    # Without the seconds, so that an equal training writes equal bytes.
    epochs.drop("seconds", strict=False).write_parquet(folder / "history.parquet")
    if history.epochs:
        facts["result"] = f"validation accuracy {formatting.percent(history.best.val_accuracy, len(dataset.val))}"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts |= {"parameters": parameters, "train_accuracy": train_accuracy, "epochs": len(history.epochs)}
    facts["training_passes"] = history.epochs[-1].passes if history.epochs else 0
    facts |= {"best_epoch": history.best_epoch, "stopped_early": history.stopped_early}
