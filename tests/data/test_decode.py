"""Decoding: files keep their depth and channels; whatever is cut or no image says so."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palpate.data.decode import Unreadable, decode, pixel_hash


def test_colours_are_rgb_and_grey_has_one_channel(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "a.png"), red)
    assert decode(str(tmp_path / "a.png"), grey=False)[0, 0].tolist() == [255, 0, 0]
    assert decode(str(tmp_path / "a.png"), grey=True).shape == (8, 8)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0, 0.02, 0.3, 0.9, -1])
def test_truncated_files_are_unreadable(tmp_path: Path, publish: SimpleNamespace, suffix: str, kept: float) -> None:
    path = tmp_path / f"a{suffix}"
    publish.image(path, 0)
    data = path.read_bytes()
    path.write_bytes(data[:-1] if kept == -1 else data[: int(kept * len(data))])
    with pytest.raises(Unreadable, match="empty" if kept == 0 else "truncated"):  # by us: OpenCV 4 would accept it
        decode(str(path), grey=False)


def test_a_damaged_png_a_text_and_an_absent_file_are_unreadable(tmp_path: Path, publish: SimpleNamespace) -> None:
    path = tmp_path / "a.png"
    publish.image(path, 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for file, text in ((path, None), (tmp_path / "b.jpg", "404: not found"), (tmp_path / "c.jpg", None)):
        if text:
            file.write_text(text)
        with pytest.raises(Unreadable):
            decode(str(file), grey=False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([b"", b"\xff\xd8\xff\xda", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a"]), st.binary(max_size=80))
def test_any_bytes_are_an_image_or_unreadable(tmp_path: Path, start: bytes, rest: bytes) -> None:
    (tmp_path / "x").write_bytes(start + rest)
    with contextlib.suppress(Unreadable):
        assert decode(str(tmp_path / "x"), grey=False).dtype == np.uint8


def test_hash_tells_pixels_not_files(tmp_path: Path, publish: SimpleNamespace) -> None:
    publish.image(tmp_path / "a.png", 0)
    image = decode(str(tmp_path / "a.png"), grey=False)
    cv2.imwrite(str(tmp_path / "b.bmp"), image[..., ::-1])
    assert pixel_hash(decode(str(tmp_path / "b.bmp"), grey=False)) == pixel_hash(image)
    assert pixel_hash(image.reshape(40, 30, 3)) != pixel_hash(image)
