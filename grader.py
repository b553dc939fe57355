"""The command line of the katas: python grader.py --help."""

import _signal  # the built-in part of signal: there at once

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until the command line runs, Ctrl-C just ends it

from grading.bootstrap import start

if __name__ == "__main__":  # the workers of a cohort import this file, too
    start()
