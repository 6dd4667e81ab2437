"""CPython's own tests of multiprocessing's queues and locks, run against Tidegate's.

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

OURS = ("Queue", "JoinableQueue", "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event")
CASES = ("Queue", "Lock", "Semaphore", "Condition", "Event")

for name in OURS:
    setattr(suite.ProcessesMixin, name, staticmethod(getattr(tidegate, name)))
# It counts the sleepers of CPython's own implementation; what it checks by that, the tests check by what threads do, too.
suite._TestCondition.check_invariant = lambda self, cond: None
multiprocessing.SimpleQueue = tidegate.SimpleQueue
suite.install_tests_in_module_dict(globals(), START_METHOD, only_type="processes")
TestSimpleQueue = type("TestSimpleQueue", (suite.TestSimpleQueue,), {"__module__": __name__})


def load_tests(loader: unittest.TestLoader, *_: object) -> unittest.TestSuite:
    wanted = unittest.TestSuite()
    for case in (*(globals()[f"WithProcessesTest{name}"] for name in CASES), TestSimpleQueue):
        for name in loader.getTestCaseNames(case):
            if name not in NOT_PASSED:
                wanted.addTest(case(name))
    return wanted
