"""The command line: every command helps with an example, mistakes end in one message, and help is quick to come."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from palpate import __version__
from palpate.cli.main import app, main

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


def _call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """The exit status and what was printed, as the installed script would."""
    monkeypatch.setattr(sys, "argv", ["palpate", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out, printed.err


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: palpate {command}" in _plain(result.output)


def test_the_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"palpate {__version__}\n")


def test_help_does_not_import_torch():
    code = (
        "import sys, contextlib, io; sys.argv = ['palpate', '--help']\n"
        "from palpate.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()\n"
        "heavy = {'torch', 'timm', 'captum', 'sklearn', 'polars', 'pydantic', 'plotly', 'numpy'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_report_does_not_import_torch():
    code = "import sys, palpate.report.page.page, palpate.report.tables; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_init_writes_a_study_that_is_valid_and_overwrites_nothing(tmp_path, monkeypatch, capsys):
    from palpate.study.spec import read_study

    file = tmp_path / "study.toml"
    status, out, _ = _call(monkeypatch, capsys, "init", str(file))
    assert status == 0
    assert f"palpate study {file}" in out
    assert read_study(file).name == "first-study"
    file.write_text("mine")
    status, _, err = _call(monkeypatch, capsys, "init", str(file))
    assert status == 2
    assert "exists already" in err
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "absent.toml"], "absent.toml: cannot be read"),
        (["status", "nowhere"], "nowhere: is not a run folder"),
        (["report", "nowhere"], "nowhere: is not a run folder"),
    ],
)
def test_a_mistake_ends_in_one_message(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = _call(monkeypatch, capsys, *arguments)
    assert status == 2
    assert err.startswith(f"palpate: {message}")
    assert "Traceback" not in err


def test_a_study_without_its_data_says_how_to_get_them(monkeypatch, capsys, tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('name = "s"\nepsilons = [0.01]\n[[tasks]]\nname = "idrid"\n[[models]]\nbackbone = "resnet18"\n')
    status, _, err = _call(monkeypatch, capsys, "study", str(file), "--data", str(tmp_path))
    assert status == 2
    assert "idrid" in err
    assert "Traceback" not in err


def test_tasks_lists_every_task(monkeypatch, capsys, tmp_path):
    from palpate.data.tasks import TASKS

    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = _call(monkeypatch, capsys, "tasks", "--data", str(tmp_path))
    assert status == 0
    assert all(name in out for name in TASKS)
