"""The bench: its arithmetic, its bytes, and all of its rows once."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner
from websockets.frames import Frame, Opcode

from app.bench import report as pages
from app.bench.cores import apart, prompt
from app.bench.cpu import Meter, Usage
from app.bench.load import Load, WrongAnswer, loaded
from app.bench.proxy import KeycloakProxy, RedisProxy
from app.bench.rows import RATES, Row
from app.bench.runner import Plan, Run, Runner
from app.bench.stage import staged
from app.bench.suite import Report, measure_all
from app.bench.wire import Script, frame, frame_end, response_end
from app.cli.bench import cli
from app.dev.config import LOOPBACK
from tests.fixtures.servers import Servers

TINY = Plan(
    seconds=0.1,
    rounds=1,
    many_rounds=1,
    audiences=2,
    repeats=0,
    connections=4,
    audience=5,
    processes=2,
    sockets=(5, 25),
    messages=100,
    quiet_seconds=0.1,
    watch_seconds=0.1,
    steady_seconds=0.3,
)
QUIET = Usage(seconds=2, server=1.6, generator=0.5, others=0.1)


def test_cost_is_cpu_for_one_answer() -> None:
    """Wall time has no part in it."""
    assert Run([0.1] * 200, QUIET).cost == 8000


@pytest.mark.parametrize(
    ("generator", "others", "expected"),
    [(1.69, 0.23, False), (1.71, 0, True), (0, 0.25, True)],
)
def test_run_is_disturbed_by_the_generator_or_by_others(
    generator: float, others: float, *, expected: bool
) -> None:
    """Both are shares of the run's time, on one core."""
    usage = Usage(2, 1.8, generator, others)
    assert expected == usage.is_disturbed


async def test_disturbed_run_is_repeated_and_counted() -> None:
    """A run stays disturbed only when all repetitions are used up."""
    calls = []

    async def busy() -> list[float]:
        calls.append(time.process_time())
        while time.process_time() < calls[-1] + 0.03:
            pass
        return [0.01]

    stage: Any = SimpleNamespace(ports=frozenset(), targets=[])
    runner = Runner(stage, replace(TINY, repeats=3))
    idle = SimpleNamespace(cpu_seconds=0.0)
    runner_usage = (await runner.run(idle, busy)).usage
    assert len(calls) == 1 + 3 == 1 + runner.repeated
    assert (runner_usage.is_disturbed, runner.disturbed) == (True, 1)


def test_what_the_bench_has_started_is_nobody_elses() -> None:
    """A server beside the one that is measured does not disturb a run."""
    burn = "import time\nwhile time.process_time() < 60: pass"
    target = SimpleNamespace(cpu_seconds=0.0)
    with subprocess.Popen([sys.executable, "-c", burn]) as beside:
        started = [psutil.Process(beside.pid)]
        with (
            Meter(target, (), []) as all_of_it,
            Meter(target, (), started) as without,
        ):
            time.sleep(0.5)
        beside.kill()
    assert without.usage.others < all_of_it.usage.others - 0.1


HELPER = """
import subprocess, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
subprocess.run(["sleep", "60"])
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1,
    reason="there is one core, or none can be chosen",
)
def test_server_has_a_core_to_itself() -> None:
    """No thread of the bench's runs on it, and each gets back what it had."""
    everywhere = sorted(os.sched_getaffinity(0))
    with (
        subprocess.Popen(["sleep", "60"]) as server,
        subprocess.Popen([sys.executable, "-c", HELPER]) as helper,
    ):
        measured, asked = (
            psutil.Process(server.pid),
            psutil.Process(helper.pid),
        )
        while not asked.children() or len(asked.threads()) < 2:
            time.sleep(0.01)
        (child,) = asked.children()
        os.sched_setaffinity(child.pid, everywhere[:1])
        os.sched_setaffinity(asked.threads()[1].id, everywhere[1:])
        around = [
            thread.id
            for process in (psutil.Process(), asked, child)
            for thread in process.threads()
        ]
        threads = [server.pid, *around]
        before = [os.sched_getaffinity(thread) for thread in threads]
        with apart(measured, [asked]):
            alone = os.sched_getaffinity(server.pid)
            others = [os.sched_getaffinity(thread) for thread in around]
        after = [os.sched_getaffinity(thread) for thread in threads]
        for process in (measured, asked, child):
            process.kill()
    assert set(everywhere[-1:]) == alone
    assert [set(everywhere[:-1])] * len(around) == others
    assert before == after


def priority(thread: int = 0) -> tuple[int, int]:
    """How the kernel schedules a thread, this one or another."""
    found = os.sched_getparam(thread).sched_priority
    return os.sched_getscheduler(thread), found


has_priorities = pytest.mark.skipif(
    not hasattr(os, "sched_setscheduler"), reason="there are none, as on macOS"
)


@has_priorities
def test_who_is_measured_is_prompt_for_a_while() -> None:
    """The generator comes first; all then have what they had before."""
    lowest = os.sched_get_priority_min(os.SCHED_FIFO)
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    with subprocess.Popen([sys.executable, "-c", HELPER]) as server:
        measured = psutil.Process(server.pid)
        while not measured.children() or len(measured.threads()) < 2:
            time.sleep(0.01)
        threads = [0, *(thread.id for thread in measured.threads())]
        before = [priority(thread) for thread in threads]
        with prompt(measured):
            meanwhile = [priority(thread) for thread in threads]
        after = [priority(thread) for thread in threads]
        for process in (*measured.children(), measured):
            process.kill()
    if before == meanwhile:
        with pytest.raises(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(lowest))
        pytest.skip("there is no right to real-time priority")
    generator, *servers = meanwhile
    assert (policy, lowest + 1) == generator
    assert {(policy, lowest)} == set(servers)
    assert before == after


@has_priorities
@pytest.mark.parametrize("error", [PermissionError, AttributeError])
def test_generator_without_the_right_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Whoever may not have the priority, or is on macOS, measures, too."""

    def refuse(*_: object) -> None:
        raise error

    before = priority()
    monkeypatch.setattr("os.sched_setscheduler", refuse)
    with prompt():
        meanwhile = priority()
    assert before == meanwhile


@pytest.mark.parametrize(
    ("value", "rises", "expected"),
    [(0.2, True, True), (0.19, True, False), (0.2, False, True),
     (0.21, False, False)],
)  # fmt: skip
def test_bound_is_kept_or_not(
    value: float, *, rises: bool, expected: bool
) -> None:
    """A bound is from below where more is better, else from above."""
    assert expected == Row("x", value, "", must=0.2, rises=rises).is_met


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_frame_ends_where_it_ends(size: int) -> None:
    """A server's frame is whole with its last byte, and not before."""
    data = Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)
    cuts = {1, len(data) // 2, len(data) - 1}
    assert len(data) == frame_end(data + b"\x81")
    assert {0} == {frame_end(data[:cut]) for cut in cuts}


def test_response_ends_where_its_body_ends() -> None:
    """A response is whole with the last byte that it announces."""
    data = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
    assert len(data) == response_end(data + b"HTTP/1.1")
    assert [0, 0] == [response_end(data[:n]) for n in (20, len(data) - 1)]


def test_commands_of_redis_are_counted() -> None:
    """A script is one command, and so is each of a pipeline."""
    proxy = RedisProxy(LOOPBACK, 0)
    ping = b"*1\r\n$4\r\nPING\r\n"
    script = b"*4\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n0\r\n$2\r\n*1\r\n"
    proxy.see(ping + ping)
    proxy.see(script)
    assert proxy.asked == 3


def test_keys_are_answered_and_counted() -> None:
    """Keys are the bench's to tell; what is asked by a task is not counted."""
    proxy = KeycloakProxy(LOOPBACK, 0, b'{"keys":[]}')
    path = b"/realms/gatehouse/protocol/openid-connect"
    keys = proxy.see(b"GET " + path + b"/certs HTTP/1.1\r\n\r\n")
    assert proxy.see(b"POST " + path + b"/token HTTP/1.1\r\n\r\n") is None
    assert keys is not None
    assert (proxy.asked, response_end(keys)) == (1, len(keys))
    assert keys.endswith(b'{"keys":[]}')


@pytest.mark.parametrize("at_once", [1, 2, 9])
async def test_questions_are_asked_in_turn(at_once: int) -> None:
    """Each connection is asked as often as every other, and no more."""

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while await reader.read(1):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    script = Script(b"", (b"?",), response_end, b"HTTP/1.1 200")
    async with server, loaded(port, [script] * 3) as load:
        assert len(await load.ask_in_turn(9, at_once)) == 9
        assert len(await load.pace(100, 0.1)) == 10


async def test_wrong_answer_ends_a_run() -> None:
    """Errors are never counted as answers, and nothing waits for ever."""

    async def refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    script = Script(b"", (b"?",), response_end, b"HTTP/1.1 200")
    async with server, loaded(port, [script]) as load:
        assert isinstance(load, Load)
        with pytest.raises(WrongAnswer, match="500"):
            await load.saturate(0)


def test_question_is_a_masked_frame() -> None:
    """A frame says that it is masked, and with what."""
    question = frame(0x81, b"again")
    mask, masked = question[2:6], question[6:]
    assert question[:2] == b"\x81\x85"
    assert b"again" == bytes(
        a ^ b for a, b in zip(masked, mask * 2, strict=False)
    )


def test_report_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    """The page keeps the text around its results."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{pages.BEGIN}old\n{pages.END}after\n")
    row = Row("a row", 0.5, "x", must=0.4, rises=True)
    report = Report([row], "a machine", {"python": "3"}, "now", "1 run")
    pages.write_page(report, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| a row | 0.5 x | >= 0.4 |  | yes |  |" in text
    assert "old" not in text


def test_where_nothing_can_be_written_nothing_is_measured(
    tmp_path: Path,
) -> None:
    """Minutes of work are not lost to a misspelt path."""
    path = tmp_path / "none" / "results.json"
    result = CliRunner().invoke(cli, ["--json", str(path)])
    assert result.exit_code == 1
    assert f"--json: {path}: No such file or directory" in result.output


async def test_every_row_is_measured(servers: Servers) -> None:
    """On the real servers each row gets a value, the echo being fastest."""
    said: list[str] = []
    async with staged(servers.environment) as stage:
        report = await measure_all(
            stage, TINY, lambda row: said.append(row.name)
        )
    assert said == [row.name for row in report.rows]
    assert len(said) == len(set(said)) == len(RATES) + 16
    rates = {rate.name for rate in RATES}
    assert all(0 < row.value < 1 for row in report.rows if row.name in rates)
    may_be_less = ("Keycloak calls", "Redis operations", "broadcast")
    assert all(
        row.value > 0
        for row in report.rows
        if not any(name in row.name for name in may_be_less)
    )
