# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl command: an authority, and leaves that are good, expired, for another name, or self-signed."""
import datetime
import pathlib
import subprocess

import pytest

KEY_KINDS = {
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


def openssl(*arguments):
    try:
        done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("the openssl command is not here")
    assert done.returncode == 0, done.stderr
    return done.stdout


def alternative_names(names):
    """subjectAltName of host names and addresses."""
    return ",".join(f"IP:{n}" if n.replace(".", "").isdigit() or ":" in n else f"DNS:{n}" for n in names)


class Leaf:
    """A certificate and its key: `certificate`, `key`, and `both` in one file, as paths."""

    def __init__(self, directory, stem):
        self.certificate, self.key, self.both = (directory / f"{stem}.{end}" for end in ("pem", "key", "both.pem"))

    def join(self):
        self.both.write_text(self.key.read_text() + self.certificate.read_text())
        self.both.chmod(0o600)
        return self


class Authority:
    """Authority(directory): `trust` is the path of its certificate, leaf() signs."""

    def __init__(self, directory, name="Test Authority"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True, parents=True)
        self.stem = name.replace(" ", "-").lower()
        self.trust, self.key = self.directory / f"{self.stem}.pem", self.directory / f"{self.stem}.key"
        self.serial = 0
        make_key(self.key, "ecdsa")
        openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", 30, "-out", self.trust)

    def leaf(self, *names, expired=False, kind="ecdsa", stem=None):
        """For these names, the first also as the subject; by this authority."""
        self.serial += 1
        stem = stem or f"{self.stem}-{self.serial}"
        made = Leaf(self.directory, stem)
        request, extensions = self.directory / f"{stem}.csr", self.directory / f"{stem}.ext"
        make_key(made.key, kind)
        openssl("req", "-new", "-key", made.key, "-subj", f"/CN={names[0]}", "-out", request)
        extensions.write_text(f"subjectAltName={alternative_names(names)}\nbasicConstraints=CA:FALSE\n")
        self.sign(request, extensions, made.certificate, expired)
        return made.join()

    def sign(self, request, extensions, to, expired):
        """`openssl x509 -req` of Debian 12 knows no dates but from now on; `openssl ca` does."""
        now = datetime.datetime.now(datetime.timezone.utc)
        begin = now - datetime.timedelta(days=20)
        end = now + datetime.timedelta(days=-1 if expired else 20)
        index, settings = self.directory / f"{self.stem}.index", self.directory / f"{self.stem}.cnf"
        index.write_text("")
        settings.write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={index}\nnew_certs_dir={self.directory}\nrand_serial=yes\n"
                            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", settings, "-in", request, "-out", to, "-cert", self.trust, "-keyfile", self.key,
                "-extfile", extensions, "-startdate", begin.strftime("%Y%m%d%H%M%SZ"), "-enddate", end.strftime("%Y%m%d%H%M%SZ"))


def self_signed(directory, *names, kind="ecdsa", stem="self-signed"):
    """For these names, by nobody but itself."""
    directory = pathlib.Path(directory)
    directory.mkdir(exist_ok=True, parents=True)
    made = Leaf(directory, stem)
    make_key(made.key, kind)
    openssl("req", "-x509", "-new", "-key", made.key, "-subj", f"/CN={names[0]}", "-days", 20,
            "-addext", f"subjectAltName={alternative_names(names)}", "-out", made.certificate)
    return made.join()


def make_key(path, kind):
    openssl("genpkey", *KEY_KINDS[kind], "-out", path)
    path.chmod(0o600)
