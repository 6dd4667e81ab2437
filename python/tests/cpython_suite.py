"""CPython's own tests of multiprocessing's queues, run against Tidegate's.

``python -m unittest cpython_suite`` in this folder; ``TIDEGATE_START_METHOD`` is fork, spawn or forkserver.
"""

import multiprocessing
import os
import unittest
from test import _test_multiprocessing as suite

import tidegate

START_METHOD = os.environ.get("TIDEGATE_START_METHOD", "spawn")

# What cannot pass, and why: private parts of CPython's implementation only.
NOT_PASSED = {
    "test_queue_feeder_donot_stop_onexc": "a thread pickles there and drops what fails; here put() pickles and raises",
    "test_queue_feeder_on_queue_feeder_error": "overrides a private method of that thread",
    "test_closed": "looks at the private ends of a pipe",
}

suite.ProcessesMixin.Queue = staticmethod(tidegate.Queue)
suite.ProcessesMixin.JoinableQueue = staticmethod(tidegate.JoinableQueue)
multiprocessing.SimpleQueue = tidegate.SimpleQueue
suite.install_tests_in_module_dict(globals(), START_METHOD, only_type="processes")
TestSimpleQueue = type("TestSimpleQueue", (suite.TestSimpleQueue,), {"__module__": __name__})


def load_tests(loader: unittest.TestLoader, *_: object) -> unittest.TestSuite:
    wanted = unittest.TestSuite()
    for case in (globals()["WithProcessesTestQueue"], TestSimpleQueue):
        for name in loader.getTestCaseNames(case):
            if name not in NOT_PASSED:
                wanted.addTest(case(name))
    return wanted
