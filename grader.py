"""The command line of the katas: python grader.py --help."""

from grading.bootstrap import start

start()
