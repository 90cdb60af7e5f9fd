"""The paper's attack: the real Foolbox `LinfPGD`, bit for bit, over a list of epsilons.

It is the reference that everything else is measured against, and nothing more: it restarts at every epsilon and keeps
attacking images that have fallen (41 forward and 40 backward passes per image and epsilon). Foolbox draws its random
starts from torch's global generator, so its numbers depend on the seed, on the order of the images and on the batches;
all three are arguments here, and the generator's state is handed back untouched.
"""

from collections.abc import Iterator, Sequence

import torch
from foolbox.attacks import LinfPGD
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn

from palpate.models.predict import Images, Progress, device_of, evaluating

RELATIVE_STEP = 0.01 / 0.3  # Foolbox's default: a step of epsilon / 30


def foolbox_pgd(
    model: nn.Module,
    images: Images,
    labels: Tensor,
    epsilons: Sequence[float],
    steps: int = 40,
    batch_size: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Attack with Foolbox's LinfPGD: random start, cross-entropy, step epsilon / 30, last iterate (arXiv 2210.14405, section 3.3).

    Args:
        model: from images (N, C, H, W) in [0, 1] to logits (N, K), K ≥ 2.
        images: float images in [0, 1].
        labels: true classes (N,).
        epsilons: l-infinity radii in [0, 1], in the order in which Foolbox is to take them.
        steps: PGD steps per epsilon.
        batch_size: images per call of Foolbox.
        seed: seeds torch's global generator once, before the first batch.
        progress: told the forward passes × images done and in all.

    Yields:
        The place of a batch, and its images at every epsilon (E, n, C, H, W) on the CPU, clipped to the ball by Foolbox. Whether they fool the
        model is for the caller to predict; Foolbox's own answer is not passed on.
    """
    device = device_of(model)
    cuda = [device] if device.type == "cuda" else []
    attack = LinfPGD(rel_stepsize=RELATIVE_STEP, steps=steps, random_start=True)
    total, done = len(images) * len(epsilons) * (steps + 1), 0

    def count(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal done
        done += len(output)
        if progress:
            progress(min(done, total), total, "Foolbox LinfPGD")

    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        states = _states(cuda)
    hook = model.register_forward_hook(count)
    try:
        for start in range(0, len(images), batch_size):
            place = slice(start, min(start + batch_size, len(images)))
            with evaluating(model), torch.random.fork_rng(devices=cuda):
                _restore(states, cuda)
                reference = PyTorchModel(model, bounds=(0, 1), device=device)
                _, clipped, _ = attack(
                    reference, images[place].to(device), labels[place].to(device), epsilons=list(epsilons)
                )
                states = _states(cuda)
            yield place, torch.stack([batch.detach().cpu() for batch in clipped])
    finally:
        hook.remove()


def _states(cuda: list[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in cuda)]


def _restore(states: list[Tensor], cuda: list[torch.device]) -> None:
    torch.set_rng_state(states[0])
    for state, device in zip(states[1:], cuda, strict=True):
        torch.cuda.set_rng_state(state, device)
