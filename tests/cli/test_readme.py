"""The README's way from a network and a folder of one's own to the report: its command and its five lines of Python, as they stand there."""

import re
import shlex
import sys
import textwrap

import cv2
import pytest
import torch
from tests.cli import matrix
from tests.sources import ROOT

from palpate.cli.main import main

SECTION = re.search(r"## Your own network and images\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.DOTALL)[1]
QUICK = ["--size", "32", "--set", "trust.images=2", "--set", "trust.budget=20", "--set", "explain.images=1"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """my_networks.py, best.ckpt and my-images, as the README names them."""
    functions = "\n\ndef make():\n    return Net()\n\n\ndef trained():\n    torch.manual_seed(0)\n    return Net()\n"
    (tmp_path / "my_networks.py").write_text(matrix.MODULE + functions)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    import my_networks

    torch.save({"state_dict": {f"model.{k}": v for k, v in my_networks.trained().state_dict().items()}}, "best.ckpt")
    for i, image in enumerate(matrix.pixels(3, 255)[:6]):
        (tmp_path / "my-images" / matrix.CLASSES[i % 2]).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "my-images" / matrix.CLASSES[i % 2] / f"{i}.png"), image)
    return tmp_path


@pytest.mark.parametrize("command", re.findall(r"^    (palpate .*)$", SECTION, re.MULTILINE))
def test_the_commands_run(files, command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [*shlex.split(command), *QUICK])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0, capsys.readouterr().err
    if " attack " in command:
        assert (files / "runs" / "attack-my-images" / "report.html").is_file()
    else:
        assert "clean accuracy" in capsys.readouterr().out


def test_the_five_lines_run(files, capsys):
    (code,) = [block for block in re.findall(r"(?:^    .*\n)+", SECTION, re.MULTILINE) if "import palpate" in block]
    code = textwrap.dedent(code)
    assert len(code.splitlines()) == 5
    exec(code.replace("test_only=True", "test_only=True, size=32").replace("sweep=found", "sweep=found, budget=20"), {})
    printed = capsys.readouterr().out
    assert "robust accuracy" in printed
    assert "6 images, linf" in printed
