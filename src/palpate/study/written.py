"""The adversarial images of a run as files, predicted again as they are read from them."""

from pathlib import Path

from palpate.attacks.result import Sweep
from palpate.core.formatting import plural
from palpate.core.run_folder import RunFolder
from palpate.models.predict import choose_device, predict_logits
from palpate.study.spec import AttackSpec, Study
from palpate.study.stages.attack import EXAMINED, attacked_images
from palpate.study.stages.context import Context


def write_attacked(study: Study, run: Path, folder: Path, root: Path | None, device: str = "auto") -> list[str]:
    """Write the adversarial images that the attack stages of a run keep, see `palpate.Dataset.write`.

    Args:
        study: whose run it is.   folder: absent or empty; where the run has several attack stages, each gets a folder in it.
        root: the folder of the publishers' data folders.

    Returns:
        For each attack stage how many images were written, and how many of those that fooled the model still do.

    Raises:
        InputError: the folder holds files already, or the images cannot be read again.
    """
    context = Context(study, RunFolder(run), root, choose_device(device))
    stages = [stage for stage in context.run.study().stages if stage.kind == "attack"]
    told = []
    for stage in stages:
        dataset, attack = context.dataset(stage.task), AttackSpec.read(stage.spec["attack"], stage.title)
        split, places, _ = attacked_images(context, stage.task, attack)
        found = Sweep.load(context.run.verify(stage.id) / "sweep.npz", split.images[places[:EXAMINED]])
        if found.adversarials is None:
            told.append(f"{stage.title}: no images are kept of an attack that makes one at each epsilon")
            continue
        place = folder if len(stages) == 1 else folder / stage.id
        read = dataset.write(found.adversarials, place, places=places)
        fooled = (found.radius > 0) & found.radius.isfinite()
        still = predict_logits(context.trained(stage), read).argmax(1) != found.labels
        count = f"{int((still & fooled).sum())} of {plural(int(fooled.sum()), 'image')} that fooled the model still do"
        levels = "" if bool(still[fooled].all()) else f"; attack with levels = {dataset.levels or 65536} to keep all"
        told.append(f"{place}: {plural(len(found), 'image')} written, and read again {count}{levels}")
    return told
