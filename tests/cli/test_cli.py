"""The command line: every command helps with an example, mistakes end in one message, and help is quick to come."""

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from tests.core.stages import TASK
from typer.testing import CliRunner

from palpate import __version__
from palpate.cli.main import ORDER, application, main
from palpate.cli.network import NetworkOptions
from palpate.cli.options import ungrouped
from palpate.cli.study import print_estimate
from palpate.core.records import StageOutput
from palpate.core.registry import COMMANDS, Entry, registries
from palpate.core.run_folder import open_run
from palpate.study.estimate import Estimate


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stuyd"], "no such command 'stuyd'; did you mean 'study'? See `palpate --help`"),
        (["attack"], "missing argument 'model'. See `palpate attack --help`"),
        (["attack", "resnet18", "--norm", "l3"], "'l3' is not one of 'linf', 'l2', 'l1'. See `palpate attack --help`"),
        (["study", "s.toml", "--workers", "two"], "invalid value for '--workers'"),
        (["explain", "resnet18", "--siz", "64"], "no such option: --siz"),
    ],
)
def test_a_wrong_call_ends_in_one_line_that_names_the_help(monkeypatch, capsys, arguments, message):
    status, _, err = _call(monkeypatch, capsys, *arguments)
    assert status == 2
    assert err.startswith("palpate: ")
    assert err.count("\n") == 1
    assert message in err


def test_without_arguments_the_commands_are_shown(monkeypatch, capsys):
    status, out, err = _call(monkeypatch, capsys)
    assert (status, err) == (2, "")
    assert all(command in _plain(out) for command in ORDER)


def test_an_error_of_the_system_names_the_file(monkeypatch, capsys):
    def broken() -> None:
        """Fail.

        Example: palpate broken
        """
        Path("/nowhere/at/all").read_text()

    monkeypatch.setattr(COMMANDS, "_entries", {**COMMANDS._entries, "broken": Entry("broken", broken, "x", False)})
    status, _, err = _call(monkeypatch, capsys, "broken")
    assert status == 2
    assert err == "palpate: /nowhere/at/all: No such file or directory; check the name, the rights and the free space\n"


def test_a_group_of_options_is_one_parameter():
    @dataclasses.dataclass(frozen=True)
    class Place:
        row: Annotated[int, typer.Option("--row")] = 1
        column: Annotated[int, typer.Option("--column")] = 2

    def move(place: Place, name: Annotated[str, typer.Argument()], fast: bool = False) -> None:
        print(place, name, fast)

    app = typer.Typer()
    app.command()(ungrouped(move))
    found = CliRunner().invoke(app, ["it", "--column", "5", "--fast"]).output
    assert found.endswith("Place(row=1, column=5) it True\n")


def test_attack_doctor_and_explain_take_the_same_network():
    for name in ("attack", "doctor", "explain"):
        taken = set(inspect.signature(ungrouped(COMMANDS[name])).parameters)
        assert {field.name for field in dataclasses.fields(NetworkOptions)} <= taken


@pytest.mark.parametrize("arguments", [["[/b]"], ["status", "a", "[/red]"], ["study", "a", "--[/x]"]])
def test_brackets_in_a_wrong_call_are_text(monkeypatch, capsys, arguments):
    status, _, err = _call(monkeypatch, capsys, *arguments)
    assert status == 2
    assert arguments[-1] in err


def test_an_estimate_says_of_which_study_it_is(capsys):
    line = Estimate("chest", "resnet18", True, 2, 6, 1200, 340, 90.0, 12.0)
    print_estimate("first", [line, dataclasses.replace(line, model="resnet50", present=False)])
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("first: nothing was run")
    assert "in all 4 of 12" in shown
    assert "absent" in shown
