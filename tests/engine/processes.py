"""Work in a process of its own, for what would last."""

import json
import os
import signal

import pytest
import torch


def forked(work):
    """What work() gives, as ["", value], or what it raises, as [class, text]; and the exit status of its process."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            torch.set_num_threads(1)
            try:
                answer = ["", work()]
            except BaseException as error:
                answer = [type(error).__name__, str(error)]
            os.write(writing, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(answer) if answer else ["", None], os.waitstatus_to_exitcode(status)


def interruptible():
    """What a program does before it begins: Ctrl-C ends it, also where the tests run in a shell's background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
