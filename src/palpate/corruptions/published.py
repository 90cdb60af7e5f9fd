"""The levels at which published benchmarks measure, as they write their parameters: facts of MedMNIST-C and ImageNet-C.

MedMNIST-C: Di Salvo, Doerrich, Ledig 2024, arXiv 2406.17536, with a table for each of its data sets; those of the modalities that palpate has are
here. ImageNet-C: Hendrycks & Dietterich 2019, arXiv 1903.12261. Lengths in pixels are for images of 224 × 224. The Gaussian blur of
MedMNIST-C is stated as the size k of torchvision's kernel, whose σ is .15 k + .35; its motion blur by ImageMagick's radius and σ, of which σ counts
here, and its shot noise by the photons λ at white, here 1 / √λ, the noise at white.
"""

DERMA, CHEST, PNEUMONIA, RETINA, IMAGENET = (
    "dermamnist-c",
    "chestmnist-c",
    "pneumoniamnist-c",
    "retinamnist-c",
    "imagenet-c",
)


def _sigma(*kernels: int) -> tuple[float, ...]:
    return tuple(0.15 * kernel + 0.35 for kernel in kernels)


def _photons(*counts: int) -> tuple[float, ...]:
    return tuple(count**-0.5 for count in counts)


_BRIGHTER, _DARKER = (1.1, 1.2, 1.3, 1.4, 1.5), (0.9, 0.8, 0.7, 0.6, 0.5)
_STRONGER, _WEAKER = (1.1, 1.2, 1.3, 1.4, 1.6), (0.9, 0.8, 0.7, 0.6, 0.4)
_MOTION, _NOISE, _SPECKLE, _IMPULSE = (
    (5, 5, 8, 12, 15),
    (0.04, 0.08, 0.12, 0.18, 0.26),
    (0.05, 0.15, 0.2, 0.35, 0.45),
    (0.01, 0.03, 0.06, 0.09, 0.17),
)

PARAMETERS: dict[str, dict[str, tuple[float, ...]]] = {
    "jpeg": {
        DERMA: (30, 20, 15, 10, 7),
        CHEST: (50, 30, 15, 10, 7),
        PNEUMONIA: (50, 30, 15, 10, 7),
        RETINA: (30, 25, 20, 10, 5),
        IMAGENET: (25, 18, 15, 10, 7),
    },
    "pixelate": {
        DERMA: (0.7, 0.5, 0.4, 0.3, 0.25),
        CHEST: (0.3, 0.25, 0.2, 0.15, 0.1),
        PNEUMONIA: (0.8, 0.7, 0.6, 0.5, 0.4),
        RETINA: (0.8, 0.6, 0.5, 0.4, 0.35),
        IMAGENET: (0.6, 0.5, 0.4, 0.3, 0.25),
    },
    "gamma-up": {CHEST: _STRONGER, PNEUMONIA: _STRONGER},
    "gamma-down": {CHEST: _WEAKER, PNEUMONIA: _WEAKER},
    "brightness-up": {DERMA: _BRIGHTER, CHEST: _BRIGHTER, PNEUMONIA: _BRIGHTER},
    "brightness-down": {DERMA: _DARKER, CHEST: _DARKER, PNEUMONIA: _DARKER, RETINA: _DARKER},
    "contrast-up": {DERMA: _STRONGER, CHEST: _STRONGER, PNEUMONIA: _STRONGER},
    "contrast-down": {
        DERMA: (0.8, 0.7, 0.6, 0.5, 0.4),
        CHEST: _WEAKER,
        PNEUMONIA: _WEAKER,
        RETINA: _WEAKER,
        IMAGENET: (0.4, 0.3, 0.2, 0.1, 0.05),
    },
    "defocus": {DERMA: (4, 5, 6, 7, 8), RETINA: (4, 5, 6, 7, 8, 9), IMAGENET: (3, 4, 6, 8, 10)},
    "gaussian-blur": {
        CHEST: _sigma(3, 5, 7, 9, 11, 13),
        PNEUMONIA: _sigma(3, 5, 7, 9, 11, 13),
        IMAGENET: (1, 2, 3, 4, 6),
    },
    "motion-blur": {DERMA: _MOTION, RETINA: _MOTION, IMAGENET: (3, 5, 8, 12, 15)},
    "gaussian-noise": {
        DERMA: _NOISE,
        CHEST: _NOISE,
        PNEUMONIA: (0.04, 0.05, 0.06, 0.07, 0.08),
        RETINA: (0.04, 0.08, 0.12, 0.16, 0.2),
        IMAGENET: (0.08, 0.12, 0.18, 0.26, 0.38),
    },
    "speckle-noise": {
        DERMA: _SPECKLE,
        CHEST: _SPECKLE,
        PNEUMONIA: (0.05, 0.07, 0.1, 0.15, 0.2),
        RETINA: (0.1, 0.15, 0.2, 0.25, 0.3),
        IMAGENET: (0.15, 0.2, 0.35, 0.45, 0.6),
    },
    "impulse-noise": {
        DERMA: _IMPULSE,
        CHEST: _IMPULSE,
        PNEUMONIA: (0.005, 0.01, 0.013, 0.017, 0.02),
        IMAGENET: (0.03, 0.06, 0.09, 0.17, 0.27),
    },
    "quantum-noise": {
        DERMA: _photons(60, 25, 18, 10, 5),
        CHEST: _photons(60, 25, 18, 10, 5),
        PNEUMONIA: _photons(300, 200, 150, 100, 80),
        IMAGENET: _photons(60, 25, 12, 5, 3),
    },
    "black-corners": {DERMA: (1.1, 1.05, 1.0, 0.9, 0.95)},
}
"""Of each corruption and benchmark the parameters of its levels, as published and in that order."""


def levels(name: str, identity: float = 0.0, direction: int = 1) -> dict[str, tuple[float, ...]]:
    """The levels of a corruption as rising severities, by benchmark.

    >>> levels("jpeg", 100, -1)["dermamnist-c"]
    (70, 80, 85, 90, 93)
    """
    found = PARAMETERS[name].items()
    return {
        benchmark: tuple(sorted(round(direction * (value - identity), 10) for value in values))
        for benchmark, values in found
    }
