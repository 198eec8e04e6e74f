# SPDX-License-Identifier: Apache-2.0
"""What libposthouse shows to a program and wants of it: the functions of its header, no data that can be written, two libraries and libc."""
import pathlib
import re
import subprocess

import pytest

from station import BUILD

HEADER = pathlib.Path(__file__).resolve().parents[2] / "include/posthouse.h"
SHARED, STATIC = BUILD / "src/client/libposthouse.so", BUILD / "src/client/libposthouse.a"
OF_THE_COMPILER = {"completed.0", "__TMC_END__", "__dso_handle", "__cpu_model", "__cpu_features2", ".data", ".bss", "__cpu_model@@GCC_4.8.0"}

pytestmark = pytest.mark.skipif(not STATIC.exists(), reason="a sanitizer build has symbols of its own, or the library was not built")


def lines_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def declared():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    return set(re.findall(r"\b(ph_\w+)\(", text))


def test_the_header_and_the_shared_library_name_the_same_functions():
    shown = {line.split()[-1] for line in lines_of("nm", "-D", "--defined-only", SHARED)}
    assert {name for name in shown if not name.startswith("POSTHOUSE_")} == {f"{name}@@POSTHOUSE_0.1" for name in declared()}


def test_the_static_library_shows_no_other_name():
    shown = {line.split()[-1] for line in lines_of("nm", "-g", "--defined-only", STATIC) if len(line.split()) == 3}
    assert shown == declared()


def test_nothing_can_be_written():
    """Tables with pointers in them (.data.rel.ro) become read-only when the library is loaded."""
    symbols = [line.split() for line in lines_of("objdump", "-t", SHARED)]
    written = {words[-1] for words in symbols if {".data", ".bss", ".tdata", ".tbss"} & set(words[1:-1])}
    assert written - OF_THE_COMPILER == set()


def test_it_needs_openssl_and_libc_alone():
    needed = {word for line in lines_of("readelf", "-d", SHARED) if "NEEDED" in line for word in re.findall(r"\[(.*)\]", line)}
    assert {name.split(".so")[0] for name in needed} == {"libssl", "libcrypto", "libc"}


def test_a_program_can_be_linked_statically(tmp_path):
    source = tmp_path / "one.c"
    source.write_text('#include <posthouse.h>\n#include <stdio.h>\nint must_fail(void) { return 0; }\n'
                      'int main(void) { puts(ph_version()); return must_fail(); }\n')
    subprocess.run(["cc", "-I", HEADER.parent, "-o", tmp_path / "one", source, STATIC, "-lssl", "-lcrypto"], check=True)
    assert lines_of(tmp_path / "one") == [re.search(r'PH_VERSION "(.*)"', HEADER.read_text())[1]]
