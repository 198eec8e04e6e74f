# SPDX-License-Identifier: Apache-2.0
"""Which libposthouse.so is tested, and whether it is one of a sanitizer build."""
import os
import subprocess

from station import BUILD

LIBRARY_PATH = BUILD / "src/client/libposthouse.so"


def missing_libasan():
    """The path of the libasan that must be loaded into a process before the library; None: there is nothing to load."""
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        return None
    needed = subprocess.run(["ldd", LIBRARY_PATH], capture_output=True, text=True).stdout
    paths = [line.split()[2] for line in needed.splitlines() if "libasan" in line]
    return paths[0] if paths else None
