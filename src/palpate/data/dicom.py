"""DICOM files to images: rescaled to the scanner's unit, MONOCHROME1 turned, frames by their number; nothing is windowed.

Pixels are stored as whole steps of the rescaled value over the range that the tags allow, so twelve bits keep their 4,096 levels. A window
belongs to the network, where its gradient is known; the data set says which one the files name. Needs the extra `dicom` (pydicom; pylibjpeg
and GDCM for compressed files).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palpate.core.errors import InputError
from palpate.data.decode import Unreadable, check_pixels
from palpate.data.files import SUFFIXES
from palpate.data.values import Native

INVERTED = "were MONOCHROME1 and were inverted, so that a larger value is brighter"
_MOST = 2**16  # levels that are stored
_TAGS = [
    "Rows", "Columns", "BitsStored", "PixelRepresentation", "PhotometricInterpretation", "NumberOfFrames", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "Modality", "WindowCenter", "WindowWidth", "ModalityLUTSequence",
]  # fmt: skip


class Plan(Native):
    """What the stored values of a set of DICOM files mean: rescaled values; and how a file is decoded to them."""

    def decode(self, path: str, grey: bool, remarks: set[str]) -> np.ndarray:
        """Decode a file or a frame: uint8 or uint16, (H, W), or (H, W, 3) in RGB order.

        Raises:
            Unreadable: truncated, without pixels, or of a compression that is not installed.
        """
        from pydicom import dcmread
        from pydicom.pixels.utils import pixel_array

        file, frame = split_frame(path)
        try:
            data = dcmread(file)
            pixels = pixel_array(data, index=frame)
        except Exception as error:  # of damaged files pydicom and its decoders raise anything
            raise Unreadable(" ".join(str(error).split())[:200] or type(error).__name__) from None
        slope, intercept = _rescale(data)
        values = pixels.astype(np.float64) * slope + intercept
        stored = np.clip(np.rint((values - self.low) / self.step), 0, self.levels - 1)
        if data.get("PhotometricInterpretation") == "MONOCHROME1":
            remarks.add(INVERTED)
            stored = self.levels - 1 - stored
        return stored.astype(np.uint8 if self.levels <= 256 else np.uint16)


def write(values: np.ndarray, source: str, file: Path, plan: Plan) -> None:
    """Write an image as a file with the header of the one that it came from, uncompressed, with an identifier of its own.

    Args:
        values: (H, W) or (H, W, 3), in the unit of the plan; rounded to what the bits of the file hold.
        source: path of the original, as in a manifest.

    Raises:
        InputError: the original is no longer there, or no longer a DICOM file.
    """
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian

    path, _ = split_frame(source)
    try:
        data = dcmread(path)
    except Exception as error:  # of damaged files pydicom raises anything
        why = f"and it cannot be read ({error})"
        raise InputError(f"{path}: its header is needed to write a file like it, {why}") from None
    if data.get("PhotometricInterpretation") == "MONOCHROME1":
        values = 2 * plan.low + (plan.levels - 1) * plan.step - values
    slope, intercept = _rescale(data)
    signed = bool(data.get("PixelRepresentation", 0))
    low, high = _ends(int(data.BitsStored), signed)
    kind = np.dtype(f"{'i' if signed else 'u'}{1 if data.BitsAllocated <= 8 else 2}")
    stored = np.clip(np.rint((values - intercept) / slope), low, high).astype(kind)
    for name in ("SmallestImagePixelValue", "LargestImagePixelValue"):
        if name in data:
            delattr(data, name)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.set_pixel_data(stored, "RGB" if stored.ndim == 3 else data.PhotometricInterpretation, int(data.BitsStored))
    data.DerivationDescription = "changed by palpate: not for diagnosis"
    data.save_as(file, enforce_file_format=True)


def is_dicom(path: str) -> bool:
    """Whether a manifest's path is a DICOM file: by its suffix, or where it has no image's, by the mark in its header."""
    file, frame = split_frame(path)
    suffix = Path(file).suffix.lower()
    if frame is not None or suffix in (".dcm", ".dicom"):
        return True
    if suffix in SUFFIXES or ".npz#" in path:
        return False
    with open(file, "rb") as head:
        return head.read(132)[128:] == b"DICM"


def split_frame(path: str) -> tuple[str, int | None]:
    """The file and the frame of a manifest's path.

    >>> split_frame("/a.dcm#frame#3"), split_frame("/a.dcm")
    (('/a.dcm', 3), ('/a.dcm', None))
    """
    file, mark, frame = path.rpartition("#frame#")
    return (file, int(frame)) if mark else (path, None)


def survey(paths: Sequence[str]) -> Plan:
    """Read the headers of all files and decide how they are stored.

    Raises:
        InputError: pydicom is absent; a file is no DICOM file, has several frames and none was named, more than 16 bits, a palette or a lookup
            table; names the file and what to do.
    """
    try:
        from pydicom import dcmread
    except ImportError:
        raise InputError(f"{paths[0]}: DICOM files need the extra `dicom`: pip install 'palpate[dicom]'") from None
    found = []
    for path in paths:
        file, frame = split_frame(path)
        try:
            data = dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
            frames = int(data.get("NumberOfFrames") or 1)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{file}: cannot be read as DICOM ({reason}); correct it, or leave it out") from None
        _check(data, file, frame, frames)
        found.append(data)
    colour = [data.PhotometricInterpretation.startswith(("RGB", "YBR")) for data in found]
    lowest, highest = zip(*map(_range, found), strict=True)
    low, high = min(lowest), max(highest)
    step, notes = _step(found, low, high)
    if any(colour) and (low, step) != (0, 1):
        first = paths[colour.index(True)]
        raise InputError(f"{first}: is in colour, and other files hold rescaled values; read them as two data sets")
    units = {str(data.get("RescaleType") or ("HU" if data.get("Modality") == "CT" else "")) for data in found}
    windows = {_window(data) for data in found}
    window = windows.pop() if len(windows) == 1 else None
    if window is not None:
        ends = f"{window[0]:g} to {window[1]:g}"
        used = f"a network that takes it states window = [{(window[0] + window[1]) / 2:g}, {window[1] - window[0]:g}]"
        notes.append(f"all files name the window from {ends}: it was not applied; {used} beside value_range")
    elif windows:
        notes.append(f"the files name {len(windows)} different windows: none was applied")
    unit = units.pop() if len(units) == 1 else ""
    return Plan(low, step, round((high - low) / step) + 1, unit, window, tuple(notes), tagged=True)


def _check(data: Any, file: str, frame: int | None, frames: int) -> None:
    kind = str(data.get("PhotometricInterpretation", ""))
    if not kind or "Rows" not in data or "BitsStored" not in data:
        raise InputError(f"{file}: holds no image; leave it out")
    check_pixels(int(data.Columns), int(data.Rows), file)
    fault = None
    if kind not in ("MONOCHROME1", "MONOCHROME2") and not kind.startswith(("RGB", "YBR")):
        fault = f"holds {kind} pixels, and grey, RGB and YBR are read; convert it"
    elif data.BitsStored > 16:
        fault = f"stores {data.BitsStored} bits, and at most 16 are read; convert it"
    elif "ModalityLUTSequence" in data:
        fault = "has a table of values (Modality LUT), and a rescale slope and intercept are read; convert it"
    elif frame is None and frames > 1:
        fault = f"holds {frames} frames; give a table with a column of frame numbers counted from 0 (frame=…)"
    elif frame is not None and frame >= frames:
        fault = f"frame {frame} is asked for, and it holds frames 0 to {frames - 1}; correct the table"
    if fault:
        raise InputError(f"{file}: {fault}, or leave it out")


def _range(data: Any) -> tuple[float, float]:
    """The rescaled values that the file's bits allow."""
    ends = _ends(int(data.BitsStored), bool(data.get("PixelRepresentation", 0)))
    slope, intercept = _rescale(data)
    low, high = sorted(end * slope + intercept for end in ends)
    return low, high


def _ends(bits: int, signed: bool) -> tuple[int, int]:
    """The stored values that so many bits hold."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _rescale(data: Any) -> tuple[float, float]:
    return float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))


def _step(found: Sequence[Any], low: float, high: float) -> tuple[float, list[str]]:
    """The files' common slope where their values are multiples of it apart, else what 16 bits allow; and what to say of it."""
    slopes = {abs(_rescale(data)[0]) for data in found}
    step = min(slopes)
    offsets = [(_range(data)[0] - low) / step for data in found]
    whole = all(math.isclose(offset, round(offset), abs_tol=1e-6) for offset in offsets)
    if len(slopes) == 1 and whole and (high - low) / step < _MOST:
        return step, []
    step = (high - low) / (_MOST - 1)
    return step, [f"the files differ in rescale slope or intercept: values were rounded to steps of {step:g}"]


def _window(data: Any) -> tuple[float, float] | None:
    """The ends of the file's first window."""
    given = [data.get(name) for name in ("WindowCenter", "WindowWidth")]
    if None in given:
        return None
    centre, width = (float(np.ravel(value)[0]) for value in given)
    return centre - width / 2, centre + width / 2
