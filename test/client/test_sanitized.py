# SPDX-License-Identifier: Apache-2.0
"""The properties again in a process with libasan, where the build is one with sanitizers."""
import os
import pathlib
import subprocess
import sys

import pytest

from sanitizer import missing_libasan

HERE = pathlib.Path(__file__).resolve().parent


def test_properties_under_the_sanitizers():
    libasan = missing_libasan()
    if not libasan:
        pytest.skip("no sanitizer build")
    # Python's own memory is not looked at: it keeps much of it to its end.
    environment = os.environ | {"LD_PRELOAD": libasan, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", HERE / "test_compose_properties.py"],
                          cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0 and " passed" in done.stdout, (done.stdout + done.stderr)[-4000:]
