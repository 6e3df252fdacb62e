"""Which certificates are kept in mind when there are more than fit."""

import pytest
import trustme
from cryptography import x509

from argus_grpc.access import certificates as certificates_module
from argus_grpc.access.certificates import AuthContext, Certificates


def test_those_in_use_are_not_forgotten_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates_module, "MAX_KNOWN", 3)
    authority = trustme.CA()
    authorities = (x509.load_pem_x509_certificate(authority.cert_pem.bytes()),)
    certificates = Certificates(lambda: authorities)

    def context(name: str) -> AuthContext:
        return {"x509_pem_cert": [authority.issue_cert(name).cert_chain_pems[0].bytes()]}

    caller, forgotten = context("caller.example"), context("once.example")
    once = certificates.principal(forgotten)
    streaming = certificates.principal(context("stream.example"))
    calling = certificates.principal(caller)
    assert once
    assert streaming
    assert calling
    for number in range(10):
        assert certificates.is_good(streaming)
        assert certificates.principal(caller) == calling
        assert certificates.principal(context(f"other-{number}.example"))
    assert certificates.is_good(calling)
    assert not certificates.is_good(once)
    assert len(certificates._known) == 3
