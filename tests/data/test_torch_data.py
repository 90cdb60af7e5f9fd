"""A torch data set, a loader, a MAITE data set: each item asked for once, labels and metadata taken from it."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from palpate.core.errors import InputError
from palpate.data.dataset import Dataset

N = 20


def images() -> torch.Tensor:
    return torch.randint(0, 256, (N, 3, 12, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def labels() -> torch.Tensor:
    return torch.arange(N) % 2


class Items(TorchDataset):
    """Gives what a function makes of an index."""

    def __init__(self, make: Any, count: int = N, **attributes: Any):
        self.make, self.count, self.asked = make, count, []
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        return self.make(index)


def whole(dataset: Dataset) -> torch.Tensor:
    return dataset.test.images[np.argsort(dataset.test.ids)]


def test_items_of_many_kinds_give_the_same_images() -> None:
    x, y = images(), labels()
    expected = x / 255
    kinds = {
        "tensors": Items(lambda i: (x[i], y[i])),
        "floats": Items(lambda i: (x[i] / 255, int(y[i]))),
        "pictures": Items(lambda i: (Image.fromarray(np.moveaxis(x[i].numpy(), 0, -1)), y[i].item())),
        "dictionary": Items(lambda i: {"image": x[i], "label": y[i]}),
        "MAITE": Items(lambda i: (x[i].numpy(), np.eye(2)[y[i]], {"id": i})),
        "TensorDataset": TensorDataset(x, y),
        "loader": DataLoader(TensorDataset(x, y), 7),
        "loader of dictionaries": DataLoader(Items(lambda i: {"image": x[i], "label": int(y[i])}), 7),
    }
    for name, data in kinds.items():
        dataset = Dataset.from_torch(data, test_only=True)
        assert torch.equal(whole(dataset), expected), name
        assert dataset.test.labels[np.argsort(dataset.test.ids)].tolist() == y.tolist(), name
        if isinstance(data, Items):
            assert data.asked == list(range(N)), name


def test_classes_come_from_the_data_set() -> None:
    x, y = images(), labels()
    named = Items(lambda i: (x[i], y[i]), classes=["nevus", "melanoma"])
    assert Dataset.from_torch(named, test_only=True).classes == ("nevus", "melanoma")
    maite = Items(
        lambda i: (x[i].numpy(), np.eye(3)[y[i]], {}), metadata={"id": "set", "index2label": {0: "a", 1: "b", 2: "c"}}
    )
    dataset = Dataset.from_torch(maite, test_only=True)
    assert dataset.classes == ("a", "b", "c")
    assert "class 'c' has no test image" in dataset.notes
    assert Dataset.from_torch(DataLoader(named, 5), classes=["x", "y"], test_only=True).classes == ("x", "y")


def test_dictionaries_give_groups_splits_and_metadata() -> None:
    x, y = images(), labels()
    splits = ["train"] * 10 + ["val"] * 4 + ["test"] * 6
    data = Items(
        lambda i: (
            x[i],
            y[i],
            {"image_id": f"s{i}", "group": f"p{i // 2}", "split": splits[i], "age": 50 + i, "spacing": [1, 1]},
        )
    )
    dataset = Dataset.from_torch(data)
    assert sorted(dataset.test.ids) == [f"s{i}" for i in range(14, 20)]
    assert dataset.test.metadata.columns == ["age"]
    assert [f"s{age - 50}" for age in dataset.test.metadata["age"]] == dataset.test.ids.tolist()


def test_several_findings() -> None:
    x = images()
    states = torch.stack([labels(), 1 - labels()], 1).float()
    dataset = Dataset.from_torch(TensorDataset(x, states), findings=["edema", "mass"], test_only=True)
    assert dataset.test.labels[np.argsort(dataset.test.ids)].tolist() == states.int().tolist()


def test_standardised_images_are_refused_with_their_range() -> None:
    data = TensorDataset((images() / 255 - 0.5) / 0.25, labels())
    with pytest.raises(
        InputError, match=r"images have values from -2 to 2; .*leave out the step that standardises them"
    ):
        Dataset.from_torch(data, test_only=True)
    assert torch.allclose(
        whole(Dataset.from_torch(data, test_only=True, value_range=(-2, 2))), images() / 255, atol=1e-6
    )


class Endless(IterableDataset):
    def __iter__(self):
        yield images()[0], 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Endless(), "a data set with a length is needed"),
        (TensorDataset(images()[:0], labels()[:0]), "at least one image"),
        (
            DataLoader(TensorDataset(images(), labels()), 3, drop_last=True),
            "give its data set, or a loader with drop_last=False",
        ),
        (Items(lambda i: images()[i]), r"an item must be \(image, label\)"),
        (Items(lambda i: {"img": 0}), "an item is a dictionary with img; it needs 'image' and 'label'"),
        (Items(lambda i: (images()[i], 0, [1])), "the third part of an item must be a dictionary; it is list"),
        (Items(lambda i: (images()[i], np.array([1, 1]))), r"image 0 has target \[1, 1\], which is no label"),
        (Items(lambda i: (images()[i].long(), 0)), "holds int64"),
    ],
)
def test_other_data_sets_are_refused(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset.from_torch(data, test_only=True)
