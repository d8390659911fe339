"""What the tracker does when its inputs, its disk or its process fail: each fault made on purpose, by one command.

    python -m benchmarks.reliability
    python -m benchmarks.reliability flipped-1e-5 killed-avi --json

The tracker under test is the command line, ``python -m tracker``, in a process of its own, and for streams that come
back `tracker.CaptureThread`.
"""
