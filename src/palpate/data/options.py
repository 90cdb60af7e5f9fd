"""How images are read, split and served: the same settings for a publisher's, a folder's, a table's, arrays' or a torch data set's."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from palpate.core.epsilon import in_unit
from palpate.core.registry import IMAGE_FILTERS
from palpate.core.spec import Name, Spec
from palpate.data.split import FRACTIONS, check_fractions

Fractions = Annotated[tuple[float, float, float], AfterValidator(check_fractions)]
Range = Annotated[tuple[float, float], Field(description="what becomes 0 and 1; by type or DICOM's tags when absent")]
Channels = Annotated[int, Field(ge=1, description="1 makes colour grey, 3 repeats grey; the files' when absent")]


class ImageSettings(Spec):
    """What can be said of a set of images in Python and as keys of a study's tasks."""

    train_images: int | None = Field(None, ge=1)
    """at most so many, in the split's class proportions"""
    val_images: int | None = Field(None, ge=1)
    test_images: int | None = Field(None, ge=1)
    filter: str | None = None
    """a registered image filter; the task's own, if any, when absent"""
    filter_at: Literal["before", "after"] | None = None
    """the resize; after when absent"""
    finding: str = "class"
    """what the label is about, for tables"""
    classes: tuple[str, ...] | None = None
    """in label order; by size or alphabet when absent"""
    channels: Channels | None = None
    value_range: Range | None = None
    unit: str = ""
    """of the value range, for epsilons such as "8 HU"; of DICOM's tags when absent"""
    fractions: Fractions = FRACTIONS
    """shares of train, val and test where no split is stated"""
    stratify: bool = True
    """keep the classes' proportions in every split"""
    test_only: bool = False
    """only the stated test split is read, or all where none is stated"""
    deduplicate: bool = False
    """keep one of identical images, and none where their labels differ"""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range: the value of black comes first, given {self.value_range}")
        if self.unit and not in_unit(f"1 {self.unit}"):
            raise ValueError(f"unit: a word such as HU is needed, given {self.unit!r}")
        if self.filter is not None:
            IMAGE_FILTERS[self.filter]  # raises where it is unknown
        elif self.filter_at is not None:
            raise ValueError("filter_at is given without a filter; give filter too, or leave filter_at out")
        return self

    @property
    def limits(self) -> dict[str, int | None]:
        """The most images of each split."""
        return {"train": self.train_images, "val": self.val_images, "test": self.test_images}


class ImageOptions(ImageSettings):
    """Settings of `Dataset.from_folder`, `from_table`, `from_arrays` and `from_torch`.

    Raises:
        SpecError: (an InputError) an unknown setting or a value that is not allowed.
    """

    name: Name | None = None
    """of the data set; made from the folder or file when absent"""
    size: int | None = Field(None, ge=8, le=1024)
    """side in pixels; 224, or that of arrays, when absent"""
    seed: int = Field(0, ge=0)
    """of the split and of the subsets"""
