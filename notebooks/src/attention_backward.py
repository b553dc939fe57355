# %% [markdown]
# # The backward pass of attention
#
# <!-- badge -->
#
# TODO: what a reader can say and prove after this notebook; notebooks/src/README.md says how one is written.
#
# Reading time: 25 minutes. Kata: `python grader.py check attention_backward`

# %% tags=["setup"]
# build.py puts the set-up here

# %%
import torch

# %% [markdown]
# ## By hand
#
# **Predict.** For which numbers is the square the double? (`attention-backward-squared` is right for these alone.) How many are there?

# %%
numbers = torch.arange(-3.0, 4.0)
same = numbers[numbers * numbers == 2 * numbers]
print("the square is the double for", same.tolist())
assert same.tolist() == [0.0, 2.0]

# %% [markdown]
# ## Interview questions
#
# Answer aloud before you open one.
#
# <!-- questions -->

# %%
# checks: attention-backward-why
each = torch.zeros(1, dtype=torch.float64).element_size()
assert (each, 2 * each) == (8, 16)
assert torch.float64.itemsize * 8 == 64

# %% [markdown]
# ## Write it
#
# The stub of the kata. Write the bodies and run the cell: it is graded as a file would be.

# %%
# %load_ext grading

# %% tags=["graded", "nbval-ignore-output"]
# build.py puts the stub here
