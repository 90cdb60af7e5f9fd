"""Decoding: files keep their depth and channels; whatever is cut or no image says so."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from palpate.core.errors import InputError
from palpate.data.decode import CMYK, MADE_GREY, NO_ALPHA, TURNED, Unreadable, decode, pixel_hash


def test_colours_are_rgb_and_grey_has_one_channel(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "a.png"), red)
    assert decode(str(tmp_path / "a.png"), grey=False)[0, 0].tolist() == [255, 0, 0]
    assert decode(str(tmp_path / "a.png"), grey=True).shape == (8, 8)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_sixteen_bits_and_the_number_of_channels_are_kept(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    image = np.linspace(0, 4095, int(np.prod(shape))).reshape(shape).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), image[..., ::-1] if len(shape) == 3 else image)
    found = decode(str(tmp_path / f"a{suffix}"))
    assert found.dtype == np.uint16
    assert np.array_equal(found, image)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16", "RGB", "RGBA", "P", "CMYK"])
def test_what_is_decided_about_an_image_is_a_remark(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    Image.fromarray(np.full((6, 6, 3), 77, np.uint8)).convert("L" if mode == "I;16" else "RGB").convert(mode).save(
        tmp_path / f"a.{suffix}"
    )
    remarks: set[str] = set()
    image = decode(str(tmp_path / f"a.{suffix}"), remarks=remarks)
    assert image.shape == ((6, 6) if mode in ("L", "LA", "1", "I;16") else (6, 6, 3))
    assert remarks == {"LA": {NO_ALPHA}, "RGBA": {NO_ALPHA}, "CMYK": {CMYK}}.get(mode, set())
    remarks = set()
    assert decode(str(tmp_path / f"a.{suffix}"), grey=True, remarks=remarks).shape == (6, 6)
    assert (MADE_GREY in remarks) == (image.ndim == 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_photographs_are_turned_as_their_exif_tag_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :8, 0], pixels[8:, :8, 1], pixels[:8, 16:, 2] = 255, 255, 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path, exif=exif)
    remarks: set[str] = set()
    found = decode(str(path), remarks=remarks)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 6  # two decoders of JPEG
    assert (TURNED in remarks) == (orientation > 1)


def test_huge_images_several_pages_and_fractions_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: SimpleNamespace
) -> None:
    pages = [Image.new("L", (8, 8)) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match=r"a.tif: holds 3 pages, and one image per file is read; save each as"):
        decode(str(tmp_path / "a.tif"))
    cv2.imwrite(str(tmp_path / "b.tiff"), np.zeros((8, 8), np.float32))
    with pytest.raises(InputError, match=r"b.tiff: holds float32 pixels, and 8 or 16 bits are read"):
        decode(str(tmp_path / "b.tiff"))
    publish.image(tmp_path / "c.png", 0, (40, 40, 3))
    for limit, message in (
        (1500, r"c.png: 40 × 40 pixels are more than 1,500|more pixels than Pillow"),
        (500, "more pixels than Pillow allows"),
    ):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InputError, match=message + ".*; save it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS"):
            decode(str(tmp_path / "c.png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(str(tmp_path / "c.png")).shape == (40, 40, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0, 0.02, 0.3, 0.9, -1])
def test_truncated_files_are_unreadable(tmp_path: Path, publish: SimpleNamespace, suffix: str, kept: float) -> None:
    path = tmp_path / f"a{suffix}"
    publish.image(path, 0)
    data = path.read_bytes()
    path.write_bytes(data[:-1] if kept == -1 else data[: int(kept * len(data))])
    with pytest.raises(
        Unreadable, match="empty" if kept == 0 else r"truncated|not an image"
    ):  # OpenCV 4 would accept most
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
