"""The command line of the katas: python grader.py --help."""

from grading.bootstrap import start

if __name__ == "__main__":  # the workers of a cohort import this file, too
    start()
