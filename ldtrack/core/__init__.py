"""The rules: what may be recorded for a run, what is sent, and how chunks, flags and tokens are read.

Nothing below this folder waits, reads a clock, draws a random number, or knows the LaunchDarkly SDK.
"""
