#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what the runners of one `./do test` counted, from what they wrote themselves, and fails when anything failed.

tally.py DIRECTORY, which holds for each runner one of
  NAME.json   meson's testlog.json: a line a program; a cmocka program counts as many tests as it says it ran
  NAME.xml    pytest's junit file
  NAME.count  "PASSED FAILED SKIPPED", of a runner that is one test
"""
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

CMOCKA = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) +\] (\d+) test\(s\)", re.MULTILINE)


def count_meson(path):
    passed = failed = skipped = 0
    for line in path.read_text().splitlines():
        program = json.loads(line)
        said = program.get("stdout", "") + program.get("stderr", "")
        inner = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
        for kind, n in CMOCKA.findall(said):
            inner[kind] += int(n)
        good = program["result"] in ("OK", "EXPECTEDFAIL")
        if program["result"] == "SKIP":
            skipped += max(1, inner["SKIPPED"])
            continue
        passed += inner["PASSED"] or int(good)
        skipped += inner["SKIPPED"]
        # A program that died (a signal, a sanitizer, a time limit) has no count of its own: it is one failure.
        failed += 0 if good else max(1, inner["FAILED"])
    return passed, failed, skipped


def count_junit(path):
    passed = failed = skipped = 0
    for suite in xml.etree.ElementTree.parse(path).getroot().iter("testsuite"):
        bad = int(suite.get("failures")) + int(suite.get("errors"))
        left_out = int(suite.get("skipped"))
        failed += bad
        skipped += left_out
        passed += max(0, int(suite.get("tests")) - bad - left_out)
    return passed, failed, skipped


def count_plain(path):
    return tuple(map(int, path.read_text().split()))


READERS = {".json": count_meson, ".xml": count_junit, ".count": count_plain}


def main(directory):
    total = [0, 0, 0]
    for path in sorted(pathlib.Path(directory).iterdir()):
        reader = READERS.get(path.suffix)
        if reader is None:
            continue
        counted = reader(path)
        print("%-24s %5d passed %4d failed %4d skipped" % (path.stem, *counted))
        total = [a + b for a, b in zip(total, counted)]
    print("%d passed, %d failed, %d skipped" % tuple(total))
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
