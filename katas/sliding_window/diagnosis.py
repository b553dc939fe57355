"""What the diagnosis knows of this kata: the two functions in steps, and what people do wrong in them."""

from grading.diagnosis.mistake import mistakes_in
from katas.sliding_window import counting, rolling, sinks, window
from katas.sliding_window.program import RollingUpdate, WindowMask

PROGRAMS = {"rolling_update": RollingUpdate, "window_mask": WindowMask}
MISTAKES = mistakes_in(window, rolling, sinks, counting)
