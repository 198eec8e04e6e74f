#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# join.sh LD OBJCOPY AR OUTPUT WHOLE ARCHIVE…: a static library of one object, in which everything but ph_* is local, so that no name of
# ours can meet one of the program's. WHOLE is taken whole, of the other archives what it needs.
set -eu
ld=$1 objcopy=$2 ar=$3 output=$4 whole=$5
shift 5
object=$output.o
"$ld" -r -o "$object" --whole-archive "$whole" --no-whole-archive "$@"
"$objcopy" --wildcard --keep-global-symbol 'ph_*' "$object"
rm -f "$output"
"$ar" rcs "$output" "$object"
rm -f "$object"
