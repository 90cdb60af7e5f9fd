"""The text files of the repository, for tests that read them."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "palpate"
TEXT = {".py", ".html", ".css", ".js", ".toml", ".md"}


def text_files(*places: Path) -> list[Path]:
    """All text files of these files and folders, in order."""
    found = [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*")))]
    return [path for path in found if path.suffix in TEXT and "__pycache__" not in path.parts]
