"""What an engine says arrives, and however it ends, one clear message tells."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from deepseg_qgis.processing.engine import client
from deepseg_qgis.processing.engine.client import EngineProgram, JobObserver, run_job
from deepseg_qgis.processing.engine.environment import engine_variables

from deepseg_qgis import errors, events, jobs
from tests.pipe.conftest import JOB, Heard

Ask = Callable[..., events.Result]
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def is_gone(pid: int) -> bool:
    """Whether a process ends within a moment."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_events_arrive_in_order_and_the_result_is_returned(ask: Ask, heard: Heard) -> None:
    result = ask(
        """
        say("log", text="größe ✓")
        say("progress", fraction=0.5, text="half", seconds_left=3.0)
        result(count=3, nothing=None)
        """
    )
    assert result == events.Result({"count": 3, "nothing": None})
    assert heard.events == [
        events.Hello(events.CONTRACT_VERSION, "test", "3"),
        events.Log("größe ✓"),
        events.Progress(0.5, "half", 3.0),
        result,
    ]


def test_the_job_arrives_in_a_file_of_ones_own(ask: Ask, folder: Path) -> None:
    result = ask(
        """
        path = sys.argv[1]
        result(text=open(path, encoding="utf-8").read(), mode=os.stat(path).st_mode, path=path)
        """
    )
    assert jobs.decode(result.values["text"]) == JOB
    assert Path(result.values["path"]).parent == folder
    if os.name == "posix":
        assert stat.S_IMODE(result.values["mode"]) == 0o600


def test_paths_may_hold_anything(heard: Heard, tmp_path: Path) -> None:
    place = tmp_path / "größe 日本 'a b' $HOME"
    place.mkdir()
    engine = place / "engine é.py"
    engine.write_text(
        "import json, sys\n"
        f"print(json.dumps({{'event': 'hello', 'contract': {events.CONTRACT_VERSION}, "
        "'engine': '', 'python': ''}))\n"
        "print(json.dumps({'event': 'result', 'values': {'argument': sys.argv[1]}}))\n",
        encoding="utf-8",
    )
    job_folder = place / "job"
    job_folder.mkdir()
    program = EngineProgram(sys.executable, str(engine), engine_variables(os.environ))
    result = run_job(JOB, program, JobObserver(heard.events.append, lambda: False), str(job_folder))
    assert result.values["argument"] == str(job_folder / "job.json")


def test_python_is_isolated_and_speaks_utf8(ask: Ask) -> None:
    values = ask(
        "result(isolated=sys.flags.isolated, utf8=sys.flags.utf8_mode, path=sys.path[0])"
    ).values
    assert (values["isolated"], values["utf8"]) == (1, 1)
    assert "engine" not in values["path"]


def test_what_is_no_event_is_kept_for_the_details(ask: Ask, heard: Heard) -> None:
    with pytest.raises(errors.EngineDied) as caught:
        ask(
            """
            print("Intel MKL says hi", flush=True)
            sys.stdout.buffer.write(bytes(range(256)) + b"\\n{\\"event\\": \\"cry\\"}\\n[1]\\n")
            sys.stdout.buffer.flush()
            say("log", text="still here")
            sys.exit(4)
            """
        )
    assert heard.texts == ["still here"]
    assert "Intel MKL says hi" in str(caught.value.__cause__)


def test_a_line_without_end_and_a_flood_on_stderr_do_no_harm(ask: Ask) -> None:
    result = ask(
        """
        sys.stderr.write("x" * 5_000_000)
        for number in range(100_000):
            sys.stderr.write(f"warning {number}: something is deprecated, and so on and so on\\n")
        sys.stdout.write("y" * 3_000_000 + "\\n")
        result(done=True)
        """
    )
    assert result.values == {"done": True}


def test_a_flood_of_events_is_taken(ask: Ask, heard: Heard) -> None:
    ask("for number in range(20_000): say('log', text=str(number))\nresult()")
    assert heard.texts == [str(number) for number in range(20_000)]


def test_an_error_keeps_its_kind_and_its_details(ask: Ask, heard: Heard) -> None:
    with pytest.raises(errors.ModelError) as caught:
        ask("say('error', kind='ModelError', message='No model.', details='Traceback ...')")
    assert str(caught.value) == "No model."
    assert str(caught.value.__cause__) == "Traceback ..."
    assert isinstance(caught.value.__cause__, client.EngineDetails)
    assert heard.events[-1] == events.Error("ModelError", "No model.", "Traceback ...")


@posix_only
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "most likely the computer ran out of memory"),
        ("sys.exit(137)", "most likely the computer ran out of memory"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(SIGSEGV\).*'Make it anew'"),
        ("sys.stderr.write('libfoo: bad\\n\\n'); sys.exit(5)", r"exit code 5\).*libfoo: bad"),
        ("", "ended without a result"),
        ("os.close(1); time.sleep(60)", "ended without a result"),
    ],
)
def test_a_death_without_a_word_becomes_one_message(
    code: str, message: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "END_GRACE_S", 0.5)
    with pytest.raises(errors.EngineDied, match=message) as caught:
        ask(code)
    assert "\n" not in str(caught.value)


def test_what_is_kept_of_stderr_is_bounded(ask: Ask) -> None:
    with pytest.raises(errors.EngineDied) as caught:
        ask("sys.stderr.write('z' * 9_000_000 + '\\nlast\\n' * 1000); sys.exit(1)")
    assert len(str(caught.value.__cause__)) < 300_000
    assert str(caught.value.__cause__).endswith("last")


def test_an_engine_that_does_not_start_says_why(ask: Ask) -> None:
    with pytest.raises(errors.EngineDied, match=r"did not start.*No module named 'nowhere'"):
        ask("import nowhere", greets=False)


def test_torchrun_starts_the_same_program_with_its_options() -> None:
    program = EngineProgram("python", "launch.py", {})
    alone = program.command("job.json")
    together = replace(program, torchrun=("--nproc-per-node", "2")).command("job.json")
    assert alone == ["python", "-I", "-X", "utf8", "-u", "launch.py", "job.json"]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    assert together == [*alone[:5], *torchrun, *alone]


def test_options_that_torchrun_does_not_know_are_named(heard: Heard, folder: Path) -> None:
    variables = engine_variables(os.environ)
    program = EngineProgram(sys.executable, "launch.py", variables, torchrun=("--nonsense",))
    with pytest.raises(errors.EngineDied, match=r"options in DEEPSEG_TORCHRUN.*nonsense$"):
        run_job(JOB, program, JobObserver(heard.events.append, lambda: False), str(folder))


def test_a_python_that_is_not_there(heard: Heard, folder: Path) -> None:
    program = EngineProgram(str(folder / "python"), "launch.py", {})
    with pytest.raises(errors.EngineMissing, match=r"could not be started.*Set up the engine"):
        run_job(JOB, program, JobObserver(heard.events.append, lambda: False), str(folder))


def test_a_file_that_is_no_program(heard: Heard, folder: Path) -> None:
    (folder / "python").write_text("no program")
    program = EngineProgram(str(folder / "python"), "launch.py", {})
    with pytest.raises(errors.EngineMissing, match="could not be started"):
        run_job(JOB, program, JobObserver(heard.events.append, lambda: False), str(folder))


@pytest.mark.parametrize("greeting", ["hello(contract=999)", "say('log', text='hi')", "result()"])
def test_another_version_of_the_contract_is_refused(greeting: str, ask: Ask) -> None:
    with pytest.raises(errors.ContractError, match="Install DeepSeg again"):
        ask(f"{greeting}\ntime.sleep(60)", greets=False)


STOPPABLE = """
say("log", text=str(os.getpid()))
for line in sys.stdin:
    if line.strip() == "stop":
        result(partial=True, kept="model")
"""


def test_stop_lets_the_engine_finish_with_what_it_has(ask: Ask, heard: Heard) -> None:
    heard.stop_after = 1
    assert ask(STOPPABLE) == events.Result({"kept": "model"}, partial=True)
    assert is_gone(int(heard.texts[0]))


def test_an_engine_that_has_nothing_to_keep_stops_with_an_error(ask: Ask, heard: Heard) -> None:
    heard.stop_after = 0
    with pytest.raises(errors.Stopped, match="Nothing was written"):
        ask(
            """
            sys.stdin.readline()
            say("error", kind="Stopped", message="Stopped. Nothing was written.")
            """
        )


def test_signs_of_life_after_stop_renew_the_grace(ask: Ask, heard: Heard) -> None:
    heard.stop_after = 0
    result = ask(
        """
        sys.stdin.readline()
        for step in range(20):
            say("progress", fraction=step / 20, text="saving")
            time.sleep(0.1)
        result(partial=True, kept="model")
        """,
        grace=1.0,
    )
    assert result.values == {"kept": "model"}


def test_chatter_is_no_sign_of_life(ask: Ask, heard: Heard) -> None:
    heard.stop_after = 0
    with pytest.raises(errors.Stopped, match="no sign of life"):
        ask("while True: print('chatter', flush=True); time.sleep(0.05)", grace=0.5)


def test_a_thread_with_other_duties_does_them(
    program: Callable[..., EngineProgram], folder: Path
) -> None:
    done: list[float] = []
    listener = JobObserver(
        lambda event: None, lambda: False, meanwhile=lambda: done.append(time.monotonic())
    )
    run_job(JOB, program("time.sleep(0.5); result(); time.sleep(0.5)"), listener, str(folder))
    assert len(done) > 10


DEAF = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say("log", text=str(os.getpid()))
say("log", text=str(child.pid))
time.sleep(600)
"""


@posix_only
def test_an_engine_that_does_not_listen_is_ended_with_all_it_started(
    ask: Ask, heard: Heard
) -> None:
    heard.stop_after = 2
    started = time.monotonic()
    with pytest.raises(errors.Stopped, match=r"no sign of life for 0 s"):
        ask(DEAF, grace=0.3)
    assert time.monotonic() - started < 5
    assert all(is_gone(int(pid)) for pid in heard.texts)


@posix_only
def test_nothing_is_left_when_the_listener_fails(
    program: Callable[..., EngineProgram], folder: Path
) -> None:
    pids: list[int] = []

    def fail_at_second(event: events.Event) -> None:
        if isinstance(event, events.Hello):
            return
        assert isinstance(event, events.Log)
        pids.append(int(event.text))
        if len(pids) == 2:
            raise RuntimeError("the dialog is gone")

    with pytest.raises(RuntimeError, match="the dialog is gone"):
        run_job(JOB, program(DEAF), JobObserver(fail_at_second, lambda: False), str(folder))
    assert all(map(is_gone, pids))


@posix_only
def test_an_engine_that_lingers_after_its_result_is_ended(
    ask: Ask, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "END_GRACE_S", 0.3)
    ask("say('log', text=str(os.getpid())); result(); time.sleep(600)")
    assert is_gone(int(heard.texts[0]))
