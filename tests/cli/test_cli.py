"""The command line: every command helps with an example, mistakes end in one message, and help is quick to come."""

import re
import subprocess
import sys

import pytest
from tests.core.stages import TASK
from typer.testing import CliRunner

from palpate import __version__
from palpate.cli.main import ORDER, application, main
from palpate.core.records import StageOutput
from palpate.core.registry import COMMANDS, registries
from palpate.core.run_folder import open_run


def _call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """The exit status and what was printed, as the installed script would."""
    monkeypatch.setattr(sys, "argv", ["palpate", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    return int(stopped.value.code or 0), printed.out, printed.err


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("command", ORDER)
def test_every_command_helps_with_an_example(command):
    result = CliRunner().invoke(application(), [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: palpate {command}" in _plain(result.output)


def test_the_version_is_printed():
    result = CliRunner().invoke(application(), ["--version"])
    assert (result.exit_code, result.output) == (0, f"palpate {__version__}\n")


def test_the_commands_stand_in_the_order_in_which_a_user_meets_them():
    app = application()
    names = [each.name for each in [*app.registered_commands, *app.registered_groups]]
    assert names[: len(ORDER)] == list(ORDER)
    assert set(names) == set(COMMANDS)


def test_a_command_of_a_plug_in_joins_and_one_that_cannot_be_imported_stops_no_other(monkeypatch):
    def greet(name: str = "you") -> None:
        """Say hello to [name].

        Example: palpate greet
        """
        print(f"hello {name}")

    monkeypatch.setattr(COMMANDS, "_entries", dict(COMMANDS._entries))
    COMMANDS.add("greet", greet)
    COMMANDS.add("absent", "no_such_package.module:command")
    with pytest.warns(UserWarning, match="command 'absent' was left out: No module named 'no_such_package'"):
        app = application()
    assert CliRunner().invoke(app, ["greet", "--name", "me"]).output == "hello me\n"
    assert "Say hello to [name]" in _plain(CliRunner().invoke(app, ["greet", "--help"]).output)


def test_help_does_not_import_torch():
    code = (
        "import sys, contextlib, io; sys.argv = ['palpate', '--help']\n"
        "from palpate.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()\n"
        "heavy = {'torch', 'timm', 'captum', 'polars', 'pydantic', 'plotly', 'numpy', 'cv2'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_report_does_not_import_torch():
    code = "import sys, palpate.report.page.page, palpate.report.terminal; print('torch' in sys.modules)"
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
        (["verify", "[/red]"], "[/red]: is not a run folder"),
        (["init", 5000 * "a"], "a"),
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
    from palpate.core.registry import TASKS

    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = _call(monkeypatch, capsys, "tasks", "--data", str(tmp_path))
    assert status == 0
    assert all(name in out for name in TASKS)


def test_doctor_names_the_package_of_every_entry(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "2000")
    status, out, _ = _call(monkeypatch, capsys, "doctor")
    assert status == 0
    for registry in registries():
        assert registry.kind in out
        assert all(name in out for name in registry)


def test_status_shows_errors_with_brackets_as_they_are(tmp_path, capsys, monkeypatch):
    run = open_run(tmp_path / "run", "s")
    stage = StageOutput(kind="train", fingerprint="0" * 16, title="train a[/b]", task="t", model_id="a#0", spec={})
    run.write_study(name="s", title="s", tasks={"t": TASK}, stages=(stage,), spec={})
    run.record_failure(stage, "bad [/red] tag [x]", "trace")
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = _call(monkeypatch, capsys, "status", str(run.path))
    assert status == 0
    assert "bad [/red] tag [x]" in out
    assert "train a[/b]" in out


def test_a_run_of_the_first_version_is_named_in_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "study.json").write_text('{"palpate": "0.1.0", "name": "s"}')
    for command in ("status", "report"):
        status, _, err = _call(monkeypatch, capsys, command, str(tmp_path))
        assert status == 2
        assert "was made by version 0.1 of palpate" in err
        assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["[/b]"], ["status", "a", "[/red]"], ["study", "a", "--[/x]"]])
def test_brackets_in_a_wrong_call_are_text(monkeypatch, capsys, arguments):
    status, _, err = _call(monkeypatch, capsys, *arguments)
    assert status == 2
    assert arguments[-1] in err
