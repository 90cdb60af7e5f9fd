"""The paper's figures 1 to 7 from a run, as PDF and PNG for print, with their captions in a Markdown file.

Figure 1 is the chest filter step by step; then each task has a perturbation at its largest epsilon and its curves. Lines differ in dash
and marker, so that a grey print can be read. Nothing here knows the page; matplotlib is used without pyplot's global state.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from palpate.core.errors import InputError
from palpate.report import figures, pictures, samples, tables
from palpate.report import wording as words
from palpate.report.load import Line, Material, read

FAMILIES = ("skin", "fundus", "chest")
"""The paper's order of tasks; figures 2 and 3, 4 and 5, 6 and 7."""

FINDINGS = {"skin lesion": "skin", "diabetic retinopathy": "fundus", "pneumothorax": "chest"}
MARKERS: dict[str, str] = dict(zip(figures.SYMBOLS, ("o", "s", "D", "^", "X", "*", "v", "p"), strict=True))
PRINT: dict[Any, Any] = {
    "font.size": 8,
    "pdf.fonttype": 42,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
}


def write(run: Path, out: Path, chest_image: Path | None = None) -> list[Path]:
    """Write the figures of a run into a folder.

    Args:
        run: the run folder; figures whose cells are not complete are left out, and `captions.md` says so.
        out: where to; made when absent.
        chest_image: a radiograph for figure 1; a phantom chest when absent.

    Returns:
        The files, `captions.md` last.

    Raises:
        InputError: `run` is no run folder, or the radiograph cannot be read.
    """
    material = read(Path(run))
    out.mkdir(parents=True, exist_ok=True)
    image, source = _radiograph(chest_image)
    files: list[Path] = []
    captions: list[str] = []

    def save(name: str, figure: Figure | None, caption: str) -> None:
        captions.append(f"**{name}.** {caption}")
        if figure is not None:
            files.extend(_save(figure, out / name))

    with rc_context(PRINT):
        save("figure-1-chest-filter", preprocessing(image), _filter_caption(source))
        for task, number in numbers(material).items():
            save(*_perturbation(material, task, number))
            for part in _curves(material, task, number + 1):
                save(*part)
    notes = out / "captions.md"
    notes.write_text("\n\n".join(captions) + "\n", encoding="utf-8")
    return [*files, notes]


def numbers(material: Material) -> dict[str, int]:
    """The number of each task's first figure: 2 skin, 4 fundus, 6 chest as in the paper; what is none of these, or again one, from 8 on."""
    found: dict[str, int] = {}
    for task in material.tasks:
        kind = family(material, task)
        number = 2 + 2 * FAMILIES.index(kind) if kind else 8
        while number in found.values():
            number = max(8, number + 2)
        found[task] = number
    return dict(sorted(found.items(), key=lambda item: item[1]))


def family(material: Material, task: str) -> str:
    """Which of the paper's tasks this one is: "skin", "fundus", "chest", or "" for another."""
    finding = material.tasks[task].get("finding", "")
    if finding in FINDINGS:
        return FINDINGS[finding]
    return next((name for name in FAMILIES if task.startswith(f"phantom-{name}")), "")


def preprocessing(image: np.ndarray, size: int = 224) -> Figure:
    """Figure 1: a grey uint8 radiograph (H, W), resized and spread, its blur, and what the network sees."""
    from palpate.data.preprocess import resize
    from palpate.papers.wasserman2022.image_filter import SIGMA, chest

    small = resize(image, size)
    spread = cv2.normalize(small, np.empty(0), 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    blurred = cv2.GaussianBlur(spread, (0, 0), sigmaX=SIGMA)
    result = chest(small)
    figure = _figure(6.8, 2.0)
    steps = (
        (image, "original"),
        (spread, "x: resized, 0–255"),
        (blurred, "blur of x, σ = 20"),
        (result, "4x − 4·blur(x) + 128"),
    )
    for axes, (pixels, title) in zip(figure.subplots(1, len(steps)), steps, strict=True):
        _show(axes, pixels, title)
    return figure


def curves(lines: list[Line], look: dict[str, figures.Look]) -> Figure:
    """Accuracy against epsilon with 95% intervals, clean accuracy dashed in the same colour, majority rate dotted."""
    along = figures.axis([point.epsilon for line in lines for point in line.attacked])
    figure = _figure(3.5, 3.0)
    axes = figure.subplots()
    for line in lines:
        style = look[line.model_id]
        known = [point for point in line.points if point.accuracy is not None]
        x = [along.positions[point.epsilon] for point in known]
        axes.fill_between(
            x, [p.low or 0 for p in known], [p.high or 0 for p in known], color=style.colour, alpha=0.12, lw=0
        )
        name = line.model_id if line.reference.signal else f"{line.model_id} (no signal)"
        axes.plot(
            x,
            [point.accuracy or 0 for point in known],
            color=style.colour,
            linestyle=_dash(style.dash),
            marker=MARKERS[style.symbol],
            markersize=3.5,
            linewidth=1.2,
            label=name,
        )
        if line.points[0].accuracy is not None:
            axes.axhline(line.points[0].accuracy, color=style.colour, linestyle=(0, (4, 4)), linewidth=0.7)
    for rate in sorted({line.points[0].majority_rate for line in lines}):
        axes.axhline(rate, color=figures.NEUTRAL, linestyle=(0, (1, 2)), linewidth=0.9)
    ticks = _roomy(along)
    axes.set_xticks(
        ticks, [f"{words.epsilon(e)}\n{255 * e:.3g}" for e in along.positions if along.positions[e] in ticks]
    )
    axes.set(ylim=(-0.02, 1.02), xlabel="ε in [0, 1], below in grey levels of 255", ylabel="still classified correctly")
    axes.legend(frameon=False, fontsize=7, loc="best")
    return figure


def triple(example: samples.Samples, image: int) -> Figure:
    """A clean image, the perturbation at the largest epsilon, magnified, and the perturbed image."""
    epsilon = example.epsilons[-1]
    clean, adversarial = example.clean[image], example.adversarial[-1, image]  # (3, H, W) each
    times = pictures.magnification(epsilon)
    shown = np.clip(0.5 + times * (adversarial.astype(np.float64) - clean), 0, 1)
    figure = _figure(5.1, 1.95)
    steps = (
        (clean, "clean"),
        (shown, f"perturbation ×{times}"),
        (adversarial, f"perturbed, ε = {words.epsilon(epsilon)}"),
    )
    for axes, (pixels, title) in zip(figure.subplots(1, 3), steps, strict=True):
        _show(axes, np.clip(pixels.transpose(1, 2, 0), 0, 1), title)
    return figure


def _perturbation(material: Material, task: str, number: int) -> tuple[str, Figure | None, str]:
    name = f"figure-{number}-perturbation-{task}"
    found, problems = samples.load(material, task)
    if not found:
        return name, None, f"Not drawn: {'; '.join(problems) or 'no model of this task has been explained yet'}."
    image = samples.falling(found[0])
    classes = material.tasks[task]["classes"]
    example = samples.examples(found[0], classes)[-1]
    return (
        name,
        triple(found[0], image),
        f"{_title(material, task)}: {example.title}, {found[0].model_id}. {example.text}",
    )


def _curves(material: Material, task: str, number: int) -> list[tuple[str, Figure | None, str]]:
    look = figures.looks(list(dict.fromkeys(cell.model_id for cell in material.cells if cell.model_id)))
    found = [[line for line in lines if line.attacked] for _, lines in tables.blocks(material) if lines[0].task == task]
    drawn = [lines for lines in found if lines]
    if not drawn:
        name = f"figure-{number}-accuracy-{task}"
        return [(name, None, "Not drawn: no model of this task has been attacked yet.")]
    parts: list[tuple[str, Figure | None, str]] = []
    for again, lines in enumerate(drawn):
        name = f"figure-{number}-accuracy-{task}" + (f"-{lines[0].attack_id}" if again else "")
        answers = " ".join(f"{said.model}: {said.sentence}" for said in map(words.answer, lines))
        counts = " and ".join(dict.fromkeys(f"{line.points[0].n} images" for line in lines))
        text = (
            f"{_title(material, task)}: accuracy of each model under {lines[0].attack_id} on {counts}, 95% intervals shaded, clean "
            f"accuracy on the same images dashed, majority rate ({words.share(lines[0].points[0].majority_rate)}) dotted. {answers}"
        )
        parts.append((name, curves(lines, look), text))
    return parts


def _title(material: Material, task: str) -> str:
    return material.tasks[task].get("title") or task


def _filter_caption(source: str) -> str:
    return f"The chest filter, step by step, on {source}, at 224 px: OpenCV's functions on uint8, blur kernel 121."


def _radiograph(path: Path | None) -> tuple[np.ndarray, str]:
    if path is None:
        from palpate.data.synthetic.generate import generate

        return cv2.cvtColor(generate("chest", 1, 512, 0).images[0], cv2.COLOR_RGB2GRAY), "a phantom (drawn, no patient)"
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"chest_image: a picture that OpenCV reads is needed, {path} is none; give a PNG or JPEG")
    return image, path.stem


def _roomy(along: figures.Axis) -> list[float]:
    """Positions of the ticks that have room for a label in a narrow figure."""
    kept: list[float] = []
    for place in along.positions.values():
        while kept and place - kept[-1] < 0.13 and place == 1:
            kept.pop()
        if not kept or place - kept[-1] >= 0.13:
            kept.append(place)
    return kept


def _dash(dash: str) -> tuple[int, tuple[float, ...]] | str:
    """Plotly's dash as matplotlib's, whose unit is the width of the line."""
    return dash if dash == "solid" else (0, tuple(float(part.removesuffix("px")) / 2.5 for part in dash.split(",")))


def _show(axes: Axes, pixels: np.ndarray, title: str) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255 if pixels.ndim == 2 else 1, interpolation="nearest")
    axes.set_title(title, fontsize=7, pad=3)
    axes.set_axis_off()


def _figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, stem: Path) -> list[Path]:
    files = [stem.with_name(stem.name + suffix) for suffix in (".pdf", ".png")]
    figure.savefig(files[0], metadata={"CreationDate": None})  # the same run gives the same bytes
    figure.savefig(files[1], dpi=300)
    return files
