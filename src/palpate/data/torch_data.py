"""A torch `Dataset` or `DataLoader`, or a MAITE data set, to arrays: each item is asked for once, in order.

MAITE (Machine Learning Assurance and Trustworthy Evaluation) data sets give an image, a target with a score for each class and a dictionary.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from palpate.core.errors import InputError
from palpate.data.npz import plain_image, to_numpy


class Items:
    """The images of a data set one after the other; what comes with each is collected on the way.

    Attributes:
        labels: of the images given so far.   columns: the values of their dictionaries that are single numbers or words.
    """

    def __init__(self, data: Any, findings: int):
        """Take a data set; `findings` is the number of findings, 0 for a single label.

        Raises:
            InputError: it has no length, or drops images.
        """
        self.loader = hasattr(data, "batch_size") and hasattr(data, "dataset")
        source = getattr(data, "sampler", data) if self.loader else data
        if not hasattr(source, "__len__") or not len(source):
            raise InputError("data: a data set with a length is needed, and at least one image; make a list of others")
        if self.loader and (data.drop_last or not data.batch_size):
            remedy = "give its data set, or a loader with drop_last=False"
            raise InputError(f"data: the loader drops images or makes its own batches; {remedy}")
        self.data, self.findings, self.total = data, findings, len(source)
        self.labels: list[Any] = []
        self.columns: dict[str, list[Any]] = {}

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for row, item in enumerate(self._items()):
            image, label, more = _parts(item)
            self.labels.append(self._label(to_numpy(label), row))
            for name, value in more.items():
                value = to_numpy(value)
                if value.ndim == 0 and value.dtype.kind in "iufbU":
                    self.columns.setdefault(name, [None] * row).append(value.item())
            for values in self.columns.values():
                values.extend([None] * (row + 1 - len(values)))
            yield row, plain_image(image, "data", "CHW" if hasattr(image, "detach") else None)
        if len(self.labels) != self.total:
            came = f"{self.total} images were announced and {len(self.labels)} came"
            raise InputError(f"data: {came}; give the data set instead of a loader")

    def classes(self) -> tuple[str, ...] | None:
        """The classes that the data set names: torchvision's `classes`, or MAITE's `metadata["index2label"]`."""
        data = self.data.dataset if self.loader else self.data
        metadata = getattr(data, "metadata", None)
        index = metadata.get("index2label") if isinstance(metadata, Mapping) else None
        names = [index[i] for i in sorted(index)] if index else getattr(data, "classes", None)
        return tuple(map(str, names)) if names is not None and len(names) else None

    def _items(self) -> Iterator[Any]:
        for batch in self.data if self.loader else (self.data[row] for row in range(self.total)):
            if not self.loader:
                yield batch
                continue
            image, label, more = _parts(batch)
            of_each = {name: values for name, values in more.items() if len(values) == len(label)}
            for place in range(len(label)):
                yield image[place], label[place], {name: values[place] for name, values in of_each.items()}

    def _label(self, label: np.ndarray, row: int) -> Any:
        if self.findings or label.ndim == 0 or label.size == 1:
            return label.tolist() if self.findings else label.reshape(()).item()
        best = int(label.argmax())
        if label.ndim != 1 or (label == label[best]).sum() != 1:
            given = f"image {row} has target {label.tolist()[:5]}"
            raise InputError(f"data: {given}, which is no label; of several findings name each (findings=…)")
        return best


def _parts(item: Any) -> tuple[Any, Any, Mapping[str, Any]]:
    """Image, label, and the dictionary that comes with them."""
    if isinstance(item, Mapping):
        if "image" not in item or "label" not in item:
            keys = ", ".join(map(str, item))
            raise InputError(f"data: an item is a dictionary with {keys}; it needs 'image' and 'label'")
        return item["image"], item["label"], {name: item[name] for name in item if name not in ("image", "label")}
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise InputError("data: an item must be (image, label), (image, target, dictionary) or a dictionary of those")
    image, label, more = item if len(item) == 3 else (*item, {})
    if not isinstance(more, Mapping):
        raise InputError(f"data: the third part of an item must be a dictionary; it is {type(more).__name__}")
    return image, label, more
