"""Where the epochs of trainings are written while they run, besides the run folder: TensorBoard or MLflow, both extras."""

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

from palpate.core.errors import InputError, readable
from palpate.training.history import Epoch

LOGGERS = ("tensorboard", "mlflow")


@dataclasses.dataclass
class EpochLog:
    """Writes each epoch of one training; called with it.

    Args:
        name: one of `LOGGERS`. TensorBoard reads RUN/logs/tensorboard; MLflow's server is the one that MLFLOW_TRACKING_URI names.
        folder: RUN/logs.   stage_id, title: of the training.

    Raises:
        InputError: the name is unknown, or its package is not installed.
    """

    name: str
    folder: Path
    stage_id: str
    title: str
    _write: Any = None

    def __post_init__(self) -> None:
        if self.name not in LOGGERS:
            raise InputError(f"log must be one of {', '.join(map(repr, LOGGERS))}, given {self.name!r}")
        try:
            __import__("mlflow" if self.name == "mlflow" else "tensorboard")
        except ImportError:
            raise InputError(f'log {self.name!r} is not installed; pip install "palpate[{self.name}]"') from None

    def __call__(self, epoch: Epoch) -> None:
        """Write its numbers; where that fails the training goes on without, with a warning."""
        values = {name: float(value) for name, value in dataclasses.asdict(epoch).items() if name != "epoch"}
        try:
            self._write = self._write or (self._mlflow() if self.name == "mlflow" else self._tensorboard())
            self._write(values, epoch.epoch)
        except Exception as error:  # of a server that ended, or a full disk: no reason to lose the training
            lost = f"epochs of {self.title} are no longer written there ({readable(str(error), 300)})"
            warnings.warn(f"log {self.name!r}: {lost}", stacklevel=2)
            self._write = lambda values, step: None

    def _tensorboard(self) -> Any:
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        logger = TensorBoardLogger(self.folder, name="tensorboard", version=self.stage_id)

        def write(values: dict[str, float], step: int) -> None:
            logger.log_metrics(values, step)
            logger.save()

        return write

    def _mlflow(self) -> Any:
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

        client, name = MlflowClient(), f"palpate {self.folder.parent.name}"
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        run = client.create_run(experiment, run_name=self.title, tags={"stage": self.stage_id}).info.run_id

        def write(values: dict[str, float], step: int) -> None:
            for key, value in values.items():
                client.log_metric(run, key, value, step=step)

        return write


def check_logger(name: str | None) -> None:
    """Refuse a logger that cannot be used, or a server that does not answer, before any work begins."""
    if name is not None:
        EpochLog(name, Path(), "", "")
    if name == "mlflow":
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 take minutes
        try:
            MlflowClient().search_experiments(max_results=1)
        except Exception as error:
            raise InputError(f"log 'mlflow': {error}; set MLFLOW_TRACKING_URI to a server that answers") from None
