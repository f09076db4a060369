"""A registry of steps that wait, fail and crash, for tests of the pipeline."""

import os
import signal
import time
from typing import Any

from r1data.core.errors import GateError, InputError
from r1data.core.stage import Action, Config, Context


class ToyConfig(Config):
    name: str = "x"
    do: str = "write"
    reads: str = ""


def work(config: ToyConfig, context: Context) -> None:
    try:
        _work(config, context)
    except KeyboardInterrupt:
        (context.root / "sealed").touch()
        raise


def _work(config: ToyConfig, context: Context) -> None:
    with (context.root.parent / "log.txt").open("a") as log:
        log.write(f"{config.name} {os.getpid()}\n")
    context.progress.start(2, "rows")
    context.progress.advance(rows=2)
    if config.do == "fail":
        raise InputError("a.jsonl line 3: field 'q' is empty")
    if config.do == "gate":
        raise GateError("pass@1 is 0.010, outside 0.1 to 0.5")
    if config.do == "crash":
        raise ZeroDivisionError("oops")
    if config.do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.do == "await":
        deadline = time.monotonic() + 60
        while not (context.root.parent / config.reads).exists():
            assert time.monotonic() < deadline, f"{config.reads} never came"
            time.sleep(0.05)
    if config.do == "wait":
        time.sleep(60)
    (context.root / config.name).touch()


TOY = Action("toy", 1, ToyConfig, work, (), "{name}")


def resolve(name: str) -> Any:
    if name != "toy":
        raise KeyError("toy")
    return TOY
