# SPDX-License-Identifier: Apache-2.0
"""libposthouse.so by ctypes: a Mail that is written, and read back as octets.

The library of a sanitizer build runs only in a process that libasan was loaded into first; others skip (test_sanitized.py starts such a
process).
"""
import ctypes

import pytest

from sanitizer import LIBRARY_PATH, missing_libasan

WRITE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
TEXT, OBJECT, SIZE = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t
SIGNATURES = {  # name: what it returns, what it takes behind the mail
    "ph_mail_free": (None, []),
    "ph_mail_error": (TEXT, []),
    "ph_mail_id": (TEXT, []),
    "ph_mail_write": (ctypes.c_bool, [WRITE, ctypes.c_void_p]),
    **{name: (None, [TEXT]) for name in (
        "ph_from", "ph_to", "ph_cc", "ph_bcc", "ph_reply_to", "ph_return_path", "ph_recipient", "ph_subject", "ph_message_id", "ph_text",
        "ph_html", "ph_attach", "ph_message_file", "ph_envelope_id")},
    "ph_header": (None, [TEXT, TEXT]),
    "ph_date": (None, [ctypes.c_int64]),
    "ph_inline": (None, [TEXT, TEXT]),
    "ph_inline_data": (None, [TEXT, TEXT, SIZE, TEXT]),
    "ph_attach_as": (None, [TEXT, TEXT, TEXT]),
    "ph_attach_data": (None, [TEXT, SIZE, TEXT, TEXT]),
    "ph_message_data": (None, [TEXT, SIZE]),
}


def load():
    if not LIBRARY_PATH.exists():
        pytest.skip(f"no {LIBRARY_PATH}", allow_module_level=True)
    if missing_libasan():
        pytest.skip("a sanitizer build: test_sanitized.py runs this", allow_module_level=True)
    library = ctypes.CDLL(str(LIBRARY_PATH))
    library.ph_mail_new.restype = OBJECT
    for name, (returns, takes) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returns, [OBJECT, *takes]
    return library


LIBRARY = load()


def octets_of(argument):
    return argument.encode() if isinstance(argument, str) else argument


class Mail:
    """mail.subject("…") is ph_subject(m, "…"), and so on with every builder; str is handed over as UTF-8."""

    def __init__(self):
        self.mail = LIBRARY.ph_mail_new()
        self.kept = []  # what the library reads only when it writes the message

    def __enter__(self):
        return self

    def __exit__(self, *_):
        LIBRARY.ph_mail_free(self.mail)

    def __getattr__(self, builder):
        def build(*arguments):
            arguments = [octets_of(argument) for argument in arguments]
            self.kept += arguments
            getattr(LIBRARY, "ph_" + builder)(self.mail, *arguments)
            return self
        return build

    def error(self):
        """What ph_mail_error says, or None."""
        text = LIBRARY.ph_mail_error(self.mail)
        return text and text.decode(errors="backslashreplace")

    def pieces(self):
        """(whether all of it was written, the octets that were)."""
        pieces = []

        def keep(_, octets, n):
            pieces.append(ctypes.string_at(octets, n))
            return True

        return LIBRARY.ph_mail_write(self.mail, WRITE(keep), None), b"".join(pieces)

    def octets(self):
        written, octets = self.pieces()
        assert written, self.error()
        return octets
