"""syncd uploads the recordings of edge capture machines to S3.

The map of the house, from the door to the outside:

    cli          the verbs; errors become exit codes here and nowhere else
    app          builds the daemon: the only module that knows every concrete class
    daemon       the life of the process: threads, signals, grace
    clerk        one thread: mail, scans, looks, handing out work
    act          one step each: fetch facts through ports, ask decide, obey, record
    decide       pure: facts and the time in, answer out
    adapters     the outside world: ledger, disk, watcher, S3, credentials, clock
    config       one YAML file, every mistake with its line
    inside       what people may see and do: status, explain, retry, with a daemon or without
    console      how they reach it: the control socket
    demo         a strict local S3 and STS, and the whole thing in one command
"""

__version__ = "0.1.0"
