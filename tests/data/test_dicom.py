"""DICOM files: every bit, sign, slope and photometric kind is read or refused by name. Skipped where pydicom is not installed."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palpate.core.errors import InputError
from palpate.data.dataset import Dataset
from palpate.data.decode import Unreadable
from palpate.data.dicom import INVERTED, survey

pydicom = pytest.importorskip("pydicom", reason="DICOM files need the extra `dicom`")
pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom warns of what is odd in its own test files


def write(path: Path, pixels: np.ndarray, bits: int = 12, **tags: Any) -> Path:
    """A file with these stored values (H, W), (frames, H, W) or (H, W, 3)."""
    from pydicom.dataset import Dataset as Header
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    colour = pixels.shape[-1] == 3
    data = Header()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Rows, data.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.BitsAllocated = pixels.dtype.itemsize * 8
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def ramp(low: int = 0, high: int = 4095, dtype: Any = np.uint16) -> np.ndarray:
    return np.linspace(low, high, 256).reshape(16, 16).astype(dtype)


def folder(root: Path, **files: tuple[np.ndarray, dict[str, Any]]) -> Path:
    for i, (pixels, tags) in enumerate(files.values()):
        for name in ("a", "b"):
            write(root / name / f"{i}.dcm", np.roll(pixels, len(name) + ord(name), -1), **tags)
    return root


def load(root: Path, **options: Any) -> Dataset:
    return Dataset.from_folder(root, size=16, test_only=True, **options)


def native(dataset: Dataset, i: int = 0) -> np.ndarray:
    low, high = dataset.value_range
    return dataset.test.images[np.argsort(dataset.test.ids)][i, 0].numpy() * (high - low) + low


def test_twelve_bits_keep_their_levels_and_the_tags_give_the_range(tmp_path: Path) -> None:
    dataset = load(folder(tmp_path, one=(ramp(), {})))
    assert (dataset.value_range, dataset.levels, dataset.channels) == ((0, 4095), 4096, 1)
    assert np.array_equal(np.rint(native(dataset)), np.roll(ramp(), 98, -1))


def test_rescaled_to_hounsfield_units(tmp_path: Path) -> None:
    tags = {
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "RescaleType": "HU",
        "WindowCenter": [40, 300],
        "WindowWidth": [400, 1500],
    }
    dataset = load(folder(tmp_path, one=(ramp(), tags)))
    assert (dataset.value_range, dataset.native.unit, dataset.levels) == ((-1024, 3071), "HU", 4096)
    assert np.array_equal(np.rint(native(dataset)), np.roll(ramp(), 98, -1).astype(int) - 1024)
    assert dataset.native.window == (-160, 240)
    assert any("all files name the window from -160 to 240: it was not applied" in note for note in dataset.notes)
    stated = load(tmp_path, value_range=(-160, 240))
    assert native(stated).min() == -160
    assert native(stated).max() == 240
    assert any(
        "value_range -160 to 240 is stated, and 2 of 2 images have values outside it" in note for note in stated.notes
    )


def test_signed_values_and_a_slope(tmp_path: Path) -> None:
    signed = ramp(-2000, 2000, np.int16)
    dataset = load(folder(tmp_path, one=(signed, {"bits": 12, "RescaleSlope": 0.5, "RescaleIntercept": 10})))
    assert dataset.value_range == (-1014, 1033.5)
    assert np.allclose(native(dataset), np.roll(signed, 98, -1) * 0.5 + 10, atol=1e-3)
    assert dataset.levels == 4096


def test_files_of_several_slopes_are_rounded_and_it_is_said(tmp_path: Path) -> None:
    dataset = load(folder(tmp_path, one=(ramp(), {"RescaleSlope": 1.0}), two=(ramp(), {"RescaleSlope": 0.3})))
    assert any(
        note.startswith("the files differ in rescale slope or intercept: values were rounded to steps of 0.06")
        for note in dataset.notes
    )
    assert np.abs(native(dataset, 1) - 0.3 * np.roll(ramp(), 98, -1)).max() < 0.04
    shifted = load(
        folder(tmp_path / "x", one=(ramp(), {"RescaleIntercept": 0}), two=(ramp(), {"RescaleIntercept": -1000}))
    )
    assert (shifted.value_range, shifted.native.step) == ((-1000, 4095), 1)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    dataset = load(folder(tmp_path, one=(ramp(), {"PhotometricInterpretation": "MONOCHROME1"})))
    assert np.array_equal(np.rint(native(dataset)), 4095 - np.roll(ramp(), 98, -1))
    assert any(note.startswith(f"2 images {INVERTED}") for note in dataset.notes)


def test_eight_bits_and_colour(tmp_path: Path) -> None:
    grey = load(folder(tmp_path / "g", one=(ramp(0, 255, np.uint8), {"bits": 8})))
    assert (grey.levels, grey.test.images._pixels.dtype) == (256, np.uint8)
    colour = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    rgb = load(folder(tmp_path / "c", one=(colour, {"bits": 8})))
    assert rgb.test.images.shape == (2, 3, 16, 16)
    folder(tmp_path / "m", one=(colour, {"bits": 8}), two=(ramp(), {"RescaleIntercept": -5}))
    with pytest.raises(
        InputError, match=r"a/0.dcm: is in colour, and other files hold rescaled values; read them as two data sets"
    ):
        load(tmp_path / "m")


def test_frames_are_named_by_a_table(tmp_path: Path) -> None:
    frames = np.stack([ramp(0, 100 * (i + 1)) for i in range(5)])
    write(tmp_path / "scan.dcm", frames)
    with pytest.raises(
        InputError, match=r"scan.dcm: holds 5 frames; give a table with a column of frame numbers counted from 0"
    ):
        survey([str(tmp_path / "scan.dcm")])
    (tmp_path / "t.csv").write_text("path,slice,label\nscan,0,x\nscan,3,y\nscan.dcm,4.0,x\n")
    dataset = Dataset.from_table(tmp_path / "t.csv", size=16, test_only=True, columns={"frame": "slice"})
    assert sorted(dataset.test.ids) == ["scan#0", "scan#3", "scan.dcm#4"]
    assert np.array_equal(np.rint(native(dataset, 1)), frames[3])
    (tmp_path / "t.csv").write_text("path,slice,label\nscan,0,x\nscan,5,y\n")
    with pytest.raises(InputError, match=r"scan.dcm: frame 5 is asked for, and it holds frames 0 to 4"):
        Dataset.from_table(tmp_path / "t.csv", columns={"frame": "slice"}, test_only=True)
    (tmp_path / "t.csv").write_text("path,slice,label\nscan,first,x\nscan,5,y\n")
    with pytest.raises(InputError, match=r"column 'slice' must hold frame numbers counted from 0: line 2 \('first'\)"):
        Dataset.from_table(tmp_path / "t.csv", columns={"frame": "slice"}, test_only=True)


def test_files_without_suffix_are_known_by_their_header(tmp_path: Path) -> None:
    for i, name in enumerate(("IM0", "IM1")):
        write(tmp_path / name, ramp(0, 4095 - i))
    (tmp_path / "t.csv").write_text("path,label\nIM0,x\nIM1,y\n")
    assert Dataset.from_table(tmp_path / "t.csv", size=16, test_only=True).levels == 4096


def test_dicom_and_other_images_are_read_apart(tmp_path: Path, publish: Any) -> None:
    folder(tmp_path, one=(ramp(), {}))
    publish.image(tmp_path / "a" / "z.png", 0)
    with pytest.raises(InputError, match=r"2 images are DICOM files and 1 are not, first .*z.png; read them apart"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "tags", "message"),
    [
        (ramp(dtype=np.uint32), {"bits": 32}, "stores 32 bits, and at most 16 are read"),
        (
            ramp(0, 255, np.uint8),
            {"bits": 8, "PhotometricInterpretation": "PALETTE COLOR"},
            "holds PALETTE COLOR pixels, and grey, RGB and YBR",
        ),
        (ramp(), {"Rows": 20000, "Columns": 20000}, "20000 × 20000 pixels are more than"),
    ],
)
def test_what_is_not_read_is_refused_before_work_begins(
    tmp_path: Path, pixels: np.ndarray, tags: dict, message: str
) -> None:
    path = write(tmp_path / "a.dcm", pixels, **tags)
    with pytest.raises(InputError, match=f"a.dcm: {message}"):
        survey([str(path)])


def test_no_dicom_file_and_a_truncated_one(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("a web page")
    with pytest.raises(InputError, match=r"a.dcm: cannot be read as DICOM"):
        survey([str(tmp_path / "a.dcm")])
    path = write(tmp_path / "b.dcm", ramp())
    plan = survey([str(path)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Unreadable):
        plan.decode(str(path), False, set())


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(InputError, match=r"x.dcm: DICOM files need the extra `dicom`: pip install 'palpate\[dicom\]'"):
        survey(["x.dcm"])


REFUSED = {  # of pydicom's own test files
    "JPEG-lossy.dcm": "unreadable",  # lossy JPEG of 12 bits: only with pylibjpeg-libjpeg
    "JPGExtended.dcm": "unreadable",
    "JPEG2000-embedded-sequence-delimiter.dcm": "unreadable",
    "MR_truncated.dcm": "unreadable",
    "SC_rgb_rle_16bit_2frame.dcm": "frames",
    "SC_rgb_rle_2frame.dcm": "frames",
    "SC_rgb_rle_32bit.dcm": "bits",
    "SC_rgb_rle_32bit_2frame.dcm": "bits",
    "badVR.dcm": "read as DICOM",
    "examples_palette.dcm": "PALETTE",
    "examples_ybr_color.dcm": "frames",
}


def test_pydicoms_own_files_are_read_as_pydicom_reads_them_or_refused_by_name() -> None:
    gdcm = pytest.importorskip("gdcm", reason="compressed files need the extra `dicom`")
    assert gdcm is not None
    from pydicom.pixels.utils import pixel_array

    read, refused = 0, {}
    for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                data = pydicom.dcmread(path)
                frames = int(data.get("NumberOfFrames") or 1) if path.name != "badVR.dcm" else 1
            except Exception:
                continue
            if "Rows" not in data or path.name.startswith("rtdose"):
                continue
            try:
                plan = survey([str(path)])
                found = plan.decode(str(path), False, set())
            except (InputError, Unreadable) as error:
                refused[path.name] = f"unreadable {error}" if isinstance(error, Unreadable) else str(error)
                assert isinstance(error, Unreadable) or path.name in str(error)
                continue
            values = pixel_array(data, index=0 if frames > 1 else None)
        slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        low, high = plan.low, plan.low + plan.step * (plan.levels - 1)
        assert np.allclose(plan.low + plan.step * found, np.clip(values * slope + intercept, low, high)), path.name
        read += 1
    assert {name: REFUSED[name] in text for name, text in refused.items() if name in REFUSED} == dict.fromkeys(
        REFUSED, True
    )
    assert set(refused) <= set(REFUSED)
    assert read >= 40
