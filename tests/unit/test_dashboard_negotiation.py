"""Accept-Encoding, by RFC 9110, section 12.5.3."""

import pytest

from argus_dashboard.negotiation import content_coding
from argus_dashboard.problems import Problem


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ([], "identity"),
        ([""], "identity"),
        (["gzip"], "gzip"),
        (["GZip"], "gzip"),
        (["x-gzip"], "gzip"),
        (["gzip;q=0"], "identity"),
        (["gzip;q=0.000"], "identity"),
        (["gzip ; q=0.5"], "gzip"),
        (["gzip;Q=0.5"], "gzip"),
        (["deflate, gzip, br"], "gzip"),
        (["deflate", "gzip;q=0.001"], "gzip"),
        (["*"], "gzip"),
        (["*;q=0.3"], "gzip"),
        (["*;q=0, gzip"], "gzip"),
        (["*, gzip;q=0"], "identity"),
        (["identity"], "identity"),
        (["identity;q=0.5, gzip;q=0.4"], "identity"),
        (["identity;q=0.4, gzip;q=0.5"], "gzip"),
        (["identity;q=0, gzip;q=0.1"], "gzip"),
        (["br"], "identity"),
        (["gzip;q=2"], "identity"),
        (["gzip;level=1"], "identity"),
        ([",, ,gzip,"], "gzip"),
    ],
)
def test_choice(fields: list[str], coding: str) -> None:
    assert content_coding(fields) == coding


@pytest.mark.parametrize("field", ["identity;q=0", "*;q=0", "gzip;q=0, identity;q=0", "br, *;q=0"])
def test_nothing_acceptable(field: str) -> None:
    with pytest.raises(Problem, match="takes neither gzip nor identity"):
        content_coding([field])
