"""The learner's code in a process of its own, and the examiner's way to it.

In: a Kata, the path of the learner's file, limits. Out: a Learner, whose functions and layers a test calls as if they
were here; what goes wrong over there is a CheckFailed, what goes wrong here an EngineFault.

Read the examiner's end first: learner and given (what a test calls), pending (answers that are on their way),
connection (questions and answers, lost candidates), wording (calls and errors in words), source (the file as text),
hosts, fork and in_process (where candidates come from), transport (bytes to and from one). Then what both ends share:
wire, limits, weights (for layers with other parameters). Then the candidate's end: server (a candidate's life), session
(requests to the learner's code), errors (what went wrong there), objects (of classes that the stub gives), deadline
(which loop takes too long), misfit (another form than the one asked for), surroundings (what a call should leave
alone), meter (FLOPs and bytes), and the fences: sandbox (the kernel's), audit (Python's), rules and permitted (the
text's), forbidden (what does the exercise in one call), no_autograd (where gradients are worked out by hand).
"""
