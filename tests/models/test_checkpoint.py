"""Tensors on disk: a whole file is never taken for another format, whatever its first bytes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from palpate.core.errors import InputError
from palpate.models.checkpoint import read_tensors


def _starting_with(first: int, folder: Path) -> Path:
    """A safetensors file whose first byte, the low byte of its header's length, is the one wanted."""
    for padding in range(300):
        path = folder / f"{padding}.safetensors"
        save_file({"weight": torch.ones(2)}, path, metadata={"padding": "x" * padding})
        if path.read_bytes()[0] == first:
            return path
    raise AssertionError(f"no header begins with {first:#x}")


@pytest.mark.parametrize("first", [0x80, 0x50])  # a pickle's and a zip's first byte
def test_a_whole_file_is_read_whatever_its_first_byte(tmp_path, first):
    assert torch.equal(read_tensors(_starting_with(first, tmp_path))["weight"], torch.ones(2))


def test_a_pickle_is_named_as_such(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="is a pickle"):
        read_tensors(tmp_path / "a.safetensors")


def test_a_file_cut_short_is_named_as_such(tmp_path):
    path = _starting_with(0x80, tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"safetensors"):
        read_tensors(path)
