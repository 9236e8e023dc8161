"""Making a message: all files are worked out first, and written at once.

    words -> order -> sources (what is there) -> edits -> plan -> writing

An order is what a person asked for. `plan` reads the working tree, refuses
what does not fit it and returns the whole text of every file that is new or
changed; nothing has been written by then. `writing` puts them all in place
with signals held back, so that Ctrl-C leaves all of them or none.

What is there is changed by syntax tree, or by position where it is JSON, so
that every line that is not concerned stays as it is.
"""
