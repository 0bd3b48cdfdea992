"""Processes that record and deliver while they are killed, and a judge of what arrived in the end.

Rule for this package: what runs in a child process imports nothing of pytest; what judges gets what was
written down and what arrived, and knows nothing of ledgers.

    supervisor   forks children, and kills them at random instants
    writer       a child that records through real trackers, and writes down what it was told
    carrier      a child that delivers
    weather      how the event endpoint behaves meanwhile
    frauds       ledgers and relays that break their promise: the judge has to find them out
    judge        what was written down against what arrived
    trial        all of it together
"""
