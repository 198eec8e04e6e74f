# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl command: an authority, what it signs, and what signs itself."""
import datetime
import pathlib
import ssl
import subprocess
import typing

import pytest

KINDS = {
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


class Leaf(typing.NamedTuple):
    """Paths of PEM files: a certificate with its authority's behind it, its key; the certificate alone; the two in one file."""
    chain: pathlib.Path
    key: pathlib.Path
    certificate: pathlib.Path
    both: pathlib.Path


class Authority:
    """Authority(directory): `trust` is the path of its certificate, issue() signs."""

    def __init__(self, directory, name="Authority of a test"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.stem = name.replace(" ", "-").lower()
        self.trust, self.key = self.directory / f"{self.stem}.pem", self.directory / f"{self.stem}.key"
        self.issued = 0
        make_key(self.key, "ecdsa")
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.trust, "-days", 3650, "-subj", f"/CN={name}", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, *names, kind="ecdsa", days=90, at=None, called=None):
        """For these names and addresses, the first also as the subject; good from `at` on ("2020-01-01 00:00:00", UTC; now)."""
        self.issued += 1
        base = self.directory / (called or f"{self.stem}-{self.issued}")
        request, extensions = base.with_name(base.name + ".csr"), base.with_name(base.name + ".ext")
        made = leaf_at(base, kind)
        extensions.write_text(f"subjectAltName={alternative_names(names)}\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n"
                              "basicConstraints=CA:FALSE\ncrlDistributionPoints=URI:http://crl.test/\n")
        openssl("req", "-new", "-key", made.key, "-out", request, "-subj", "/CN=" + names[0])
        self.sign(request, extensions, made.certificate, at, days)
        made.chain.write_text(made.certificate.read_text() + self.trust.read_text())
        return join(made)

    def sign(self, request, extensions, to, at, days):
        """`openssl x509 -req` of Debian 12 knows no dates but from now on; `openssl ca` does."""
        begin = datetime.datetime.fromisoformat(at) if at else datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
        begin, end = (f"{moment:%Y%m%d%H%M%SZ}" for moment in (begin, begin + datetime.timedelta(days=days)))
        index, settings = self.directory / f"{self.stem}.index", self.directory / f"{self.stem}.cnf"
        index.write_text("")
        settings.write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={index}\nnew_certs_dir={self.directory}\nrand_serial=yes\n"
                            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", settings, "-in", request, "-out", to, "-cert", self.trust, "-keyfile", self.key,
                "-extfile", extensions, "-startdate", begin, "-enddate", end)

    def context(self, **settings):
        """A client that trusts this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.trust)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


def self_signed(directory, *names, kind="ecdsa"):
    """For these names, by nobody but itself."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    made = leaf_at(directory / "self-signed", kind)
    openssl("req", "-x509", "-new", "-key", made.key, "-subj", f"/CN={names[0]}", "-days", 20, "-addext",
            f"subjectAltName={alternative_names(names)}", "-out", made.certificate)
    made.chain.write_text(made.certificate.read_text())
    return join(made)


def tls_option(*leaves):
    """The inside of `tls { … }`; a leaf may also be two paths, of a certificate and a key."""
    return "certificate = {%s} key = {%s}" % tuple(", ".join(f'"{leaf[i]}"' for leaf in leaves) for i in (0, 1))


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


def leaf_at(base, kind):
    """The names of the files, and a key."""
    made = Leaf(*(base.with_name(base.name + end) for end in (".pem", ".key", ".crt", ".both.pem")))
    make_key(made.key, kind)
    return made


def make_key(path, kind):
    openssl("genpkey", *KINDS[kind], "-out", path)
    path.chmod(0o600)


def join(made):
    made.both.write_text(made.key.read_text() + made.certificate.read_text())
    made.both.chmod(0o600)
    return made
