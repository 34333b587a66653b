"""What comes out of the command line when something is wrong: an exit code and a sentence, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click
import pytest

from syncd import __version__
from syncd.cli import group, main
from syncd.errors import ConfigError, Fatal, LedgerHeld, LockedOut, SyncdError

SYNCD = [sys.executable, "-m", "syncd"]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Gives the command line a verb `broken` that does this."""

    def install(does: Callable[[], object]) -> None:
        module = types.ModuleType("syncd.cli.broken")
        module.command = click.Command("broken", callback=does)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "syncd.cli.broken", module)
        monkeypatch.setitem(group.VERBS, "broken", "Do not.")

    return install


def failing(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_help_and_version_load_nothing_heavy() -> None:
    code = """if True:
        import sys
        from syncd.cli import main
        assert main(["--help"]) == 0 and main(["--version"]) == 0
        heavy = {"boto3", "botocore", "pydantic", "yaml", "rich", "structlog", "sqlite3", "watchdog", "flask"}
        print(sorted(heavy & set(sys.modules)))
    """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"
    assert f"syncd {__version__}" in told.stdout


@pytest.mark.parametrize(
    ("target", "code", "told"),
    [("> /dev/full", 1, "the answer could not be written: No space left on device"), (">&-", 0, "")],
)
def test_an_answer_that_nobody_can_take_is_no_surprise(target: str, code: int, told: str) -> None:
    command = f"{sys.executable} -m syncd run --help {target}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert ended.stderr.strip() == (f"syncd: {told}" if told else "")


@pytest.mark.parametrize("name", group.VERBS)
def test_each_verb_has_one_sentence_and_it_is_the_first_of_its_own_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = import_module(f"syncd.cli.{name.replace('-', '_')}").command
    assert command.name == name
    assert (command.help or "").splitlines()[0] == group.VERBS[name]
    assert main(["--help"]) == 0
    assert f"\n  {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["run", "--nonsense"], ["run", "--patience", "5m"], ["run", "--once", "--patience", "5"]],
)
def test_wrong_usage_ends_with_2_and_says_how_to_ask(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert "Error: " in told.err
    assert "--help" in told.err
    assert told.out == ""


def test_a_duration_without_a_unit_is_told_what_was_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--once", "--patience", "5"]) == 2
    assert "'5' is no duration, expected a duration with a unit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            ConfigError(["c.yaml:1:2: a: is bad", "c.yaml:3:4: b: is worse"]),
            78,
            ["c.yaml:1:2: a: is bad", "c.yaml:3:4: b: is worse"],
        ),
        (LedgerHeld("pid 7 has it", hint="stop it"), 3, ["syncd: pid 7 has it", "hint: stop it"]),
        (Fatal("no"), 1, ["syncd: no"]),
        (LockedOut("refused", code="credentials", hint="look"), 1, ["syncd: refused", "hint: look"]),
        (SyncdError("name\x1b[31m\nnext"), 1, ["syncd: name\\x1b[31m\\nnext"]),
    ],
)
def test_our_own_failures_are_told_with_their_hint_and_code(
    error: SyncdError,
    code: int,
    lines: list[str],
    verb: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    verb(failing(error))
    assert main(["broken"]) == code
    told = capsys.readouterr()
    assert told.err.splitlines() == lines
    assert told.out == ""


def test_what_nobody_foresaw_is_one_sentence_without_a_traceback(
    verb: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb(failing(ZeroDivisionError("by nothing")))
    assert main(["broken"]) == 1
    told = capsys.readouterr()
    assert "ZeroDivisionError" in told.err
    assert "by nothing" not in told.err  # nobody knows what the words of such a failure hold
    assert "Traceback" not in told.err + told.out
    assert len(told.err.splitlines()) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_quiet(
    error: BaseException, verb: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb(failing(error))
    assert main(["broken"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_verb_s_number_is_the_exit_code_and_anything_else_is_fine(
    verb: Callable[[Callable[[], object]], None],
) -> None:
    verb(lambda: 4)
    assert main(["broken"]) == 4
    verb(lambda: None)
    assert main(["broken"]) == 0


def test_a_reader_that_went_away_is_no_failure_worth_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        told = subprocess.run([*SYNCD, "--help"], stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert told.stderr == ""


def test_the_configuration_is_the_named_one_else_that_of_the_environment_else_that_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNCD_CONFIG", str(tmp_path / "by-environment"))
    assert main(["check", "-c", str(tmp_path / "named")]) == 78
    assert capsys.readouterr().err.startswith(f"{tmp_path}/named: ")
    assert main(["check"]) == 78
    assert capsys.readouterr().err.startswith(f"{tmp_path}/by-environment: ")
    monkeypatch.delenv("SYNCD_CONFIG")
    if not Path("/etc/syncd/config.yaml").exists():
        assert main(["check"]) == 78
        assert capsys.readouterr().err.startswith("/etc/syncd/config.yaml: ")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("syncd st", "plain,status"),
        ("syncd files --state pa", "plain,parked"),
        ("syncd credential-api add", "plain,add-device"),
        ("syncd explain /srv", "file,/srv"),
    ],
)
def test_the_shell_is_told_how_a_word_may_go_on(words: str, offered: str) -> None:
    asked = {
        **os.environ,
        "_SYNCD_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "syncd")],
        env=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert offered in done.stdout.splitlines()
