"""The engine of the attention katas: it examines a learner's file and says what is wrong with it."""
