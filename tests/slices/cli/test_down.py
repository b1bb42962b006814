"""How a server is stopped, against one that only heeds its orders."""

import signal
import subprocess
import sys
import threading

import psutil
import pytest

from installation import Installation
from podium.cli import local
from podium.client.connection import local_server
from slices.cli.commands import until

HURRIED = """
import asyncio, os
from podium.server.lifeline import StopOrder
from podium.server.runfiles import RunFiles, home
async def main():
    order, files = StopOrder(), RunFiles(home())
    order.listen()
    files.acquire()
    files.sign()
    files.publish({"pid": os.getpid(), "url": "http://127.0.0.1:1"})
    await order.hurry.wait()
    files.release()
asyncio.run(main())
"""


def test_ctrl_c_hurries_a_server_that_finds_both_orders_at_once(
    fresh: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_HOME", str(fresh.home))
    monkeypatch.setattr(local, "STOP_SECONDS", 10)

    def interrupted() -> None:
        threading.Timer(0.2, process.send_signal, [signal.SIGCONT]).start()
        signal.raise_signal(signal.SIGINT)

    with subprocess.Popen([sys.executable, "-c", HURRIED]) as process:
        try:
            until(lambda: local_server() is not None)
            server = local_server()
            assert server is not None
            process.send_signal(signal.SIGSTOP)  # the machine does not let it run for a while
            until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
            local.stop(server, interrupted)
            assert process.wait(10) == 0
        finally:
            process.kill()
