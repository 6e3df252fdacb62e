"""Accept-Encoding (RFC 9110, section 12.5.3)."""

import re
from http import HTTPStatus
from typing import Literal

from argus_dashboard.problems import Problem

ContentCoding = Literal["identity", "gzip"]

_ITEM = re.compile(
    r"[ \t]*(?P<coding>[!#$%&'*+.^_`|~0-9A-Za-z-]+)"
    r"(?:[ \t]*;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)


def content_coding(accept_encoding: list[str]) -> ContentCoding:
    """gzip where the client takes it no less gladly than none, else none; from all Accept-Encoding
    fields of a request.

    Raises a Problem, 406, when the client takes neither. An item that is not in the grammar counts as
    not there.
    """
    weights: dict[str, float] = {}
    for item in ",".join(accept_encoding).split(","):
        if found := _ITEM.fullmatch(item):
            # x-gzip is the same (section 8.4.1.3).
            coding = found["coding"].lower().removeprefix("x-")
            weights[coding] = float(found["weight"] or 1)
    others = weights.get("*")
    gzip = weights.get("gzip", others or 0.0)
    # Section 12.5.3: identity is acceptable unless it is excluded, by itself or by "*;q=0".
    identity = weights.get("identity", others)
    if gzip > 0 and (identity is None or gzip >= identity):
        return "gzip"
    if identity == 0:
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE,
            "not-acceptable",
            f"Accept-Encoding {', '.join(accept_encoding)!r} takes neither gzip nor identity, all there is",
            headers={"Vary": "Accept-Encoding"},
        )
    return "identity"
