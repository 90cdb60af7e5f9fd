"""Seeded damage: bits, bytes and lengths of files, values of records with their checksums made right again, and odd things in a file's place."""

import json
import os
import random
from pathlib import Path
from typing import Any

from tests.runs import edit, seal

from palpate.core.io import remove

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, "", "x" * 5000, "../../outside/mine.txt", "/etc/passwd", "[/red]", "=1+1", "<script>", "\x1b[2J\0\ud800",
    [], {}, [[[]]], {"a": 1}, ["../x"], [1, "2", None], "train-0123456789abcdef", "0" * 64,
)  # fmt: skip
"""Values that no record expects."""


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change a few bits or bytes, cut, double or fill a part."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        kind, place = rng.randrange(7), rng.randrange(len(data) + 1)
        length = rng.randrange(1, 64)
        if kind == 0 and data:
            data[place % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[place : place + length] = rng.randbytes(length)
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            data[place:place] = data[place : place + length] * rng.choice((1, 3))
        elif kind == 5:
            data[place:place] = rng.choice(
                (b"\0" * length, b"[" * 3000, b'"', b"\xff\xfe", b"=1", b"\n", b"1e999", b"NaN", b"..", b"-1")
            )
        elif data:
            data[place % len(data)] = rng.choice((0, 255, 127, 128))
    return bytes(data)


def mutate_json(value: Any, rng: random.Random) -> Any:
    """Replace, drop or double one value somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        if rng.random() < 0.15:
            return {name: each for name, each in value.items() if name != key}
        changed = rng.choice(("../x", "a b", "", key + "x")) if rng.random() < 0.1 else key
        return {
            changed if name == key else name: mutate_json(each, rng) if name == key else each
            for name, each in value.items()
        }
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:place] + value[place + 1 :] * rng.choice((1, 2))
        return [*value[:place], mutate_json(value[place], rng), *value[place + 1 :]]
    return rng.choice(ODD)


def damage_run(run: Path, outside: Path, rng: random.Random) -> str:
    """Damage a run folder once; gives what was done."""
    files = sorted(file for file in run.rglob("*") if file.is_file() and not file.is_symlink())
    file = rng.choice(files)
    kind = rng.choice(("bytes", "bytes", "json", "json", "sealed", "odd", "link", "folder"))
    if kind == "json":
        file = rng.choice([each for each in files if each.name in ("study.json", "stage.json")])
        record = mutate_json(json.loads(file.read_text()), rng)
        if isinstance(record, dict):
            file.unlink()
            file.write_text("{}")
            edit(file, **{name: each for name, each in record.items() if name != "checksum"})
    elif kind == "sealed":  # what was changed is recorded as if it had been made so
        file = rng.choice([each for each in files if each.parent.parent == run and each.name != "stage.json"])
        file.write_bytes(mutate(file.read_bytes(), rng))
        seal(run)
    elif kind == "odd":
        file.unlink()
        rng.choice((file.mkdir, lambda: os.mkfifo(file), lambda: None, file.touch))()
    elif kind == "link":
        file.unlink()
        file.symlink_to(rng.choice((outside / "mine.txt", outside, Path("/dev/zero"), file, Path("/nowhere"))))
    elif kind == "folder":
        file = rng.choice(
            [
                *(each for each in run.iterdir() if each.is_dir()),
                *(run / name for name in ("tables", "failed", ".locks")),
            ]
        )
        remove(file)
        file.symlink_to(outside)
    else:
        file.write_bytes(mutate(file.read_bytes(), rng))
    return f"{kind} {file.relative_to(run)}"
