"""The paper's figures 1 to 7 from a run, as PDF and PNG for print, with their captions in a Markdown file.

Figure 1 is the chest filter step by step; then each task has a perturbation at its largest epsilon and its curves, with clean accuracy dashed.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from palpate.core import formatting
from palpate.core.errors import InputError
from palpate.core.io import write_text
from palpate.papers.wasserman2022.comparison import FAMILIES, family
from palpate.papers.wasserman2022.image_filter import SIGMA, chest
from palpate.report import images, samples
from palpate.report.line_styles import line_styles
from palpate.report.print_figures import PRINT, curves, new_figure, save
from palpate.report.run_data import RunData, read
from palpate.report.sections.leaderboard import sentence
from palpate.statistics.leaderboard import Leaderboard

Part = tuple[str, Figure | None, str]
"""Name of the file, the figure where it can be drawn, and the caption."""


def write(run: Path, out: Path, chest_image: Path | None = None) -> list[Path]:
    """Write the figures of a run into a folder.

    Args:
        run: the run folder; figures whose stages are not complete are left out, and `captions.md` says so.
        out: where to; made when absent.
        chest_image: a radiograph for figure 1; a synthetic one when absent.

    Returns:
        The files, `captions.md` last.

    Raises:
        InputError: `run` is no run folder, or the radiograph cannot be read.
    """
    data = read(Path(run))
    image, source = _radiograph(chest_image)
    caption = f"The chest filter, step by step, on {source}, at 224 px: OpenCV's functions on uint8, blur kernel 121."
    with rc_context(fname=PRINT):
        parts: list[Part] = [("figure-1-chest-filter", preprocessing(image), caption)]
        for task, number in numbers(data).items():
            parts += [_perturbation(data, task, number), *_curves(data, task, number + 1)]
    files = [file for name, figure, _ in parts if figure for file in save(figure, out / name, (".pdf", ".png"))]
    notes = out / "captions.md"
    write_text(notes, "\n\n".join(f"**{name}.** {caption}" for name, _, caption in parts) + "\n")
    return [*files, notes]


def numbers(data: RunData) -> dict[str, int]:
    """The number of each task's first figure: 2 skin, 4 fundus, 6 chest as in the paper; others and repeated ones from 8 on."""
    found: dict[str, int] = {}
    for task in data.study.tasks:
        kind = family(data, task)
        number = 2 + 2 * FAMILIES.index(kind) if kind else 8
        while number in found.values():
            number = max(8, number + 2)
        found[task] = number
    return dict(sorted(found.items(), key=lambda item: item[1]))


def preprocessing(image: np.ndarray, size: int = 224) -> Figure:
    """Figure 1: a grey uint8 radiograph (H, W), resized and spread, its blur, and what the network sees."""
    from palpate.data.preprocess import resize

    small = resize(image, size)
    spread = cv2.normalize(small, np.empty(0), 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    blurred = cv2.GaussianBlur(spread, (0, 0), sigmaX=SIGMA)
    titles = "original", "x: resized, 0–255", "blur of x, σ = 20", "4x − 4·blur(x) + 128"
    return _row((6.8, 2.0), titles, (image, spread, blurred, chest(small)))


def triple(example: samples.Samples, image: int) -> Figure:
    """A clean image, the perturbation at the largest epsilon, magnified, and the perturbed image."""
    epsilon = example.epsilons[-1]
    clean, adversarial = example.clean[image], example.adversarial[-1, image]  # (3, H, W) each
    times = images.magnification(epsilon)
    shown = np.clip(0.5 + times * (adversarial.astype(np.float64) - clean), 0, 1)
    titles = "clean", f"perturbation ×{times}", f"perturbed, ε = {formatting.number(epsilon)}"
    pictures = [np.clip(pixels.transpose(1, 2, 0), 0, 1) for pixels in (clean, shown, adversarial)]
    return _row((5.1, 1.95), titles, pictures)


def with_clean(board: Leaderboard) -> Figure:
    """The curves of a leaderboard, with the clean accuracy of each model dashed in its colour."""
    figure, styles = curves(board), line_styles([entry.name for entry in board.entries])
    for entry in board.entries:
        if entry.rank is not None:
            colour = styles[entry.name].colour
            figure.axes[0].axhline(entry.accuracy[0].value, color=colour, linestyle=(0, (4, 4)), linewidth=0.7)
    return figure


def _perturbation(data: RunData, task: str, number: int) -> Part:
    name = f"figure-{number}-perturbation-{task}"
    found = samples.load(data, task)
    if not found:
        why = "; ".join(problem for problem in data.problems if problem.startswith("samples"))
        return name, None, f"Not drawn: {why or 'no model of this task has been explained yet'}."
    image = samples.first_fooled(found[0])
    largest = formatting.epsilon(found[0].epsilons[-1], found[0].norm)
    what = samples.described(found[0], image, data.study.tasks[task].classes)
    text = f"{data.results.tasks[task].title}: largest epsilon, {largest}, {found[0].model_id}. {what}"
    return name, triple(found[0], image), text


def _curves(data: RunData, task: str, number: int) -> list[Part]:
    name, found = f"figure-{number}-accuracy-{task}", data.results.tasks[task]
    if not found.leaderboards:
        return [(name, None, "Not drawn: no model of this task has been attacked yet.")]
    parts: list[Part] = []
    for again, board in enumerate(found.leaderboards):
        rates = ", ".join(dict.fromkeys(formatting.percent(entry.majority_rate) for entry in board.entries))
        text = (
            f"{found.title}: accuracy of each model under attack by {board.attack_id}, 95% intervals shaded, clean accuracy on the same images "
            f"dashed, majority rate ({rates}) dotted. {sentence(found.model_copy(update={'leaderboards': (board,)}))}"
        )
        parts.append((name + (f"-{board.attack_id}".replace("#", "-") if again else ""), with_clean(board), text))
    return parts


def _radiograph(path: Path | None) -> tuple[np.ndarray, str]:
    if path is None:
        from palpate.data.synthetic.generate import generate

        image = generate("chest", 1, 512, 0).images[0]
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), "a synthetic image (no patient)"
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"chest_image: an image that OpenCV reads is needed, {path} is none; give a PNG or JPEG")
    return image, path.stem


def _row(size: tuple[float, float], titles: Sequence[str], pictures: Sequence[np.ndarray]) -> Figure:
    """Pictures side by side, grey (H, W) from 0 to 255 or in colour (H, W, 3) in [0, 1], each under its title."""
    figure = new_figure(*size)
    for axes, title, pixels in zip(figure.subplots(1, len(titles)), titles, pictures, strict=True):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255 if pixels.ndim == 2 else 1, interpolation="nearest")
        axes.set_title(title, fontsize=7, pad=3)
        axes.set_axis_off()
    return figure
