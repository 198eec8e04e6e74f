# SPDX-License-Identifier: Apache-2.0
"""What loads the library into Python again in a process with libasan, where the build is one with sanitizers."""
import os
import pathlib
import subprocess
import sys

import pytest

from sanitizer import missing_libasan

HERE = pathlib.Path(__file__).resolve().parent


@pytest.mark.parametrize("tests", ["client/test_compose_properties.py", "system/test_library.py"])
def test_the_library_under_the_sanitizers(tests):
    libasan = missing_libasan()
    if not libasan:
        pytest.skip("no sanitizer build")
    # Python's own memory is not looked at: it keeps much of it to its end.
    environment = os.environ | {"LD_PRELOAD": libasan, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1", "PYTHONMALLOC": "malloc"}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", HERE.parent / tests],
                          cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0 and " passed" in done.stdout, (done.stdout + done.stderr)[-4000:]
