"""Names in clients' certificates."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess

import pytest

from edge.certificates import MAX_NAMES, credentials_of, digest_of_name, names_in, normal

SUBJECT = ((("countryName", "DE"),), (("organizationName", "Example, Inc."),), (("commonName", "billing"),))


def test_the_subject_comes_first_and_whole_and_then_the_other_names():
    others = (
        ("DNS", "Billing.Example.com"),
        ("IP Address", "0:0:0:0:0:0:0:1"),
        ("URI", "spiffe://x/Y"),
        ("email", "a@b"),
    )
    unknown = (("DirName", "x"), ("Registered ID", "1.2.3"), ("othername", "<unsupported>"))
    assert names_in({"subject": SUBJECT, "subjectAltName": others + unknown}) == [
        "subject:CN=billing,O=Example\\, Inc.,C=DE",
        "DNS:billing.example.com",
        "IP:::1",
        "URI:spiffe://x/Y",
        "email:a@b",
    ]


@pytest.mark.parametrize("certificate", [None, {}, {"subject": ()}, {"subjectAltName": (("DirName", "x"),)}])
def test_without_a_name_there_is_no_credential(certificate):
    assert credentials_of(certificate) == ()


def test_a_certificate_of_many_names_is_asked_for_some():
    many = tuple(("DNS", f"{n}.example.com") for n in range(10_000))
    assert len(credentials_of({"subject": SUBJECT, "subjectAltName": many})) == MAX_NAMES


@pytest.mark.parametrize(
    ("value", "said"),
    [("a", "a"), ("a,O=b", "a\\,O=b"), ("a+b", "a\\+b"), ("#a", "\\#a"), (" a ", "\\ a\\ "), (" ", "\\ "), ("a\\", "a\\\\"), ("", "")],
)  # fmt: skip
def test_no_value_can_pass_for_two(value, said):
    assert names_in({"subject": ((("commonName", value),),)}) == [f"subject:CN={said}"]


def test_one_name_has_one_spelling():
    assert normal("DNS:A.B") == normal("DNS:a.b")
    assert normal("IP:2001:DB8::0:1") == "IP:2001:db8::1"
    assert normal("IP:nonsense") == "IP:nonsense"
    assert normal("URI:spiffe://A") != normal("URI:spiffe://a")


def test_kinds_are_told_apart_and_no_name_has_the_digest_of_a_key():
    digests = {digest_of_name(f"{kind}:a") for kind in ("DNS", "URI", "email", "subject")}
    assert len(digests) == 4
    assert hashlib.sha256(b"DNS:a").digest() not in digests


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_and_python_say_the_same_of_a_subject(tmp_path):
    path = tmp_path / "c.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    make += ["-subj", "/C=DE/O=Example, Inc. + more/OU=x/CN=a<b>", "-keyout", f"{tmp_path}/c.key", "-out", str(path)]
    subprocess.run(make, check=True, capture_output=True)
    show = ["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", str(path)]
    told = subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip().removeprefix("subject=")
    described = ssl._ssl._test_decode_cert(str(path))
    assert names_in(described)[0] == f"subject:{told.strip()}"
