"""A model of a study: where its network comes from, and what must be known to use it. The keys are the arguments of `palpate.build`."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from palpate.core.io import sha256
from palpate.core.spec import Spec
from palpate.models.networks import code_hash
from palpate.study.part import Part
from palpate.training.spec import TrainSpec


def default_name(backbone: str | None, attention: str | None, gamma: str | None) -> str:
    """The name of a model that states none: what is behind the source's word, of a file its name alone.

    >>> default_name("resnet18", "full", None), default_name("file:out/net.pt2", None, None), default_name("my.nets:make", None, None)
    ('resnet18+full', 'net', 'make')
    """
    source, _, name = (backbone or "").rpartition(":")
    if source in ("file", "hf-hub"):
        name = Path(name).stem if source == "file" else Path(name).name
    return name + (f"+{attention}" if attention else "") + (f"+gamma-{gamma}" if gamma else "")


class Normalization(Spec):
    """What a network takes, as in `palpate.wrap`: (v − mean) / std, where v runs over `value_range` as the image runs over [0, 1]."""

    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    value_range: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    """centre and width, in units of value_range"""


class ModelSpec(Part):
    """A classifier of the study, named by what it is made of."""

    backbone: str
    """SOURCE:NAME, MODULE:FUNCTION, or a name of timm"""
    attention: Literal["full", "released"] | None = None
    gamma: Literal["fixed", "learned"] | None = None
    name: str = Field("", pattern=r"^[A-Za-z0-9][^#\n]*$", validate_default=True)
    """in tables and figures; made of backbone, attention and gamma when absent"""
    weights: str | None = None
    """"imagenet"; "hub", of a repository; a file; or nothing for random weights"""
    output_stride: Literal[8, 16, 32] = 32
    heads: int | None = Field(None, ge=1)
    """of soft attention, as window and relu; 16 when absent"""
    window: int | None = Field(None, ge=1)
    relu: bool | None = None
    dropout: float | None = Field(None, ge=0, lt=1)
    """before a new head's dense layer; 0.5 when absent"""
    channels: int | None = Field(None, ge=1)
    """of the images that it takes; the task's when absent"""
    normalization: str | Normalization | None = None
    """a name, or what the network takes; to be stated where its source does not know it"""
    head: Literal["new", "own"] | None = None
    """of a network of timm: new, or its own classifier"""
    arguments: dict[str, Any] = Field(default={})
    """for the function that makes the network"""
    output: str | int | None = None
    """which part of the network's output holds the logits"""
    classes: tuple[str, ...] | None = None
    """of a whole network: the names of its logits in their order, which becomes the task's order"""
    findings: tuple[str, ...] | None = None
    """of a multi-label network: the findings of its logits in their order; the task's one is used"""
    training: TrainSpec | None = None
    """instead of the task's training"""

    @field_validator("attention", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: Any) -> Any:
        return None if value in ("none", False) else "full" if value is True else value

    @field_validator("name", mode="before")
    @classmethod
    def _has_a_name(cls, value: Any, info: ValidationInfo) -> Any:
        return value or default_name(*(info.data.get(key) for key in ("backbone", "attention", "gamma"))) or "model"

    @model_validator(mode="after")
    def _one_meaning_of_the_logits(self) -> "ModelSpec":
        if self.classes is not None and self.findings is not None:
            raise ValueError("classes and findings are both given; classes exclude each other, and findings do not")
        return self

    @classmethod
    def unknown_key(cls, key: str) -> str:
        if key in Normalization.model_fields:
            return f"is part of normalization; write normalization = {{ {key} = … }}"
        return super().unknown_key(key)

    def build_arguments(self) -> dict[str, Any]:
        """The arguments of `palpate.build` that are stated."""
        apart = {"name", "training", "normalization", "classes", "findings"}
        given = {name: getattr(self, name) for name in ModelSpec.model_fields.keys() - apart}
        given = {name: value for name, value in given.items() if value is not None}
        if self.normalization is not None:
            stated = self.normalization
            given["normalization"] = stated if isinstance(stated, str) else stated.model_dump(exclude_none=True)
        if self.classes or self.findings:
            given["classes"] = self.classes or self.findings
        return given

    def identity(self) -> dict[str, Any]:
        """What of the model changes a result: its settings, with files by their content and a function by the source of its module."""
        own = default_name(self.backbone, self.attention, self.gamma)
        left_out = {"training"} | ({"name"} if self.name == own else set())
        found = self.model_dump(mode="json", exclude=left_out, exclude_none=True)
        found["arguments"] = {key: _by_content(value) for key, value in self.arguments.items()}
        found |= {} if self.weights is None else {"weights": _by_content(self.weights)}
        code = code_hash(self.backbone)
        if code is not None:
            found["code"] = f"sha256:{code}"
        if self.backbone.startswith("file:"):  # which counts by its content, not by its place
            found["backbone"] = "file"
        return {key: value for key, value in found.items() if value != {}}


def _by_content(value: Any) -> Any:
    """The hash of a file in the place of its name."""
    return f"sha256:{sha256(Path(value))}" if isinstance(value, str) and Path(value).is_file() else value
