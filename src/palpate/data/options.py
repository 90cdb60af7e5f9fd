"""How a user's images are read, split and served: the same settings whether they come from a folder, a table, arrays or a torch data set."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from palpate.core.spec import Name, Spec
from palpate.data.split import FRACTIONS, check_fractions

Fractions = Annotated[tuple[float, float, float], AfterValidator(check_fractions)]


class ImageOptions(Spec):
    """Settings of `Dataset.from_folder`, `from_table`, `from_arrays` and `from_torch`, and of a study's tasks.

    Raises:
        SpecError: (an InputError) an unknown setting or a value that is not allowed.
    """

    name: Name | None = Field(None, description="of the data set; made from the folder or file when absent")
    finding: str = Field("class", description="what the label is about, for tables")
    size: int | None = Field(None, ge=8, le=1024, description="side in pixels; 224, or that of arrays, when absent")
    seed: int = Field(0, ge=0, description="of the split and of the subsets")
    train_images: int | None = Field(None, ge=1, description="at most so many, in the split's class proportions")
    val_images: int | None = Field(None, ge=1)
    test_images: int | None = Field(None, ge=1)
    filter: str | None = Field(None, description="a registered image filter")
    filter_at: Literal["before", "after"] = Field("after", description="when the filter runs: of the resize")
    channels: Literal[1, 3] | None = Field(
        None, description="1 makes colour grey, 3 repeats grey; the files' own if absent"
    )
    value_range: tuple[float, float] | None = Field(
        None, description="what becomes 0 and 1; by type or tags when absent"
    )
    fractions: Fractions = Field(FRACTIONS, description="shares of train, val and test where no split is stated")
    stratify: bool = Field(True, description="keep the classes' proportions in every split")
    test_only: bool = Field(False, description="only the stated test split is read, or all where none is stated")
    deduplicate: bool = Field(False, description="keep one of identical images, and none where their labels differ")

    @model_validator(mode="after")
    def _consistent(self) -> "ImageOptions":
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise ValueError(f"value_range: the value of black comes first, given {self.value_range}")
        if self.filter is None and self.filter_at != "after":
            raise ValueError(f"filter_at {self.filter_at!r} is given without a filter; give both, or neither")
        return self

    @property
    def limits(self) -> dict[str, int | None]:
        """The most images of each split."""
        return {"train": self.train_images, "val": self.val_images, "test": self.test_images}
