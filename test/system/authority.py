# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of a test's own, made with the openssl command."""
import pathlib
import ssl
import subprocess

KINDS = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}


def openssl(*arguments, at=None):
    """at: the date on which it believes to run."""
    subprocess.run([*(["faketime", at] if at else []), "openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


class Authority:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        openssl("req", "-x509", "-newkey", *KINDS["ecdsa"], "-nodes", "-keyout", self.key, "-out", self.file, "-days", 3650, "-subj",
                "/CN=Authority of a test", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, *names, kind="ecdsa", days=90, at=None, called=None):
        """(chain, key): PEM files of a new certificate for these names, "IP:…" an address."""
        base = self.directory / (called or f"{names[0].replace('*', 'any')}-{kind}")
        key, request, leaf, extensions = (base.with_name(base.name + end) for end in (".key", ".csr", ".crt", ".ext"))
        alternatives = ",".join(name if ":" in name else f"DNS:{name}" for name in names)
        extensions.write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n"
                              "basicConstraints=CA:FALSE\ncrlDistributionPoints=URI:http://crl.test/\n")
        openssl("req", "-new", "-newkey", *KINDS[kind], "-nodes", "-keyout", key, "-out", request, "-subj", "/CN=" + names[0])
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial", "-days", days, "-extfile",
                extensions, "-out", leaf, at=at)
        chain = base.with_name(base.name + ".pem")
        chain.write_text(leaf.read_text() + self.file.read_text())
        return chain, key

    def context(self, **settings):
        """A client that trusts this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


def tls_option(*pairs):
    """The inside of `tls { … }`."""
    return "certificate = {%s} key = {%s}" % tuple(", ".join(f'"{pair[i]}"' for pair in pairs) for i in (0, 1))
