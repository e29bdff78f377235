import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.headers import parse_header
from shared.errors import DecodeError

GOOD = {
    "content-digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    "sideline-lane": "raw",
    "sideline-content": "heart_rate",
    "sideline-schema": "1",
    "sideline-count": "3",
}


def test_header_when_all_fields_stand_then_digest_is_hexadecimal() -> None:
    """RFC 9530 writes base64, the ledger hexadecimal."""
    header = parse_header("gw-1", "0" * 16, "5", {**GOOD, "content-digest": f"md5=:AA==:, {GOOD['content-digest']}"})
    assert header.sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert (header.seq, header.count, header.schema) == (5, 3, 1)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_header_when_a_field_is_missing_then_the_error_names_it(name: str) -> None:
    """Whoever builds a client learns which header is wrong."""
    with pytest.raises(DecodeError, match=name):
        parse_header("gw-1", "0" * 16, "5", {k: v for k, v in GOOD.items() if k != name})


@given(name=st.sampled_from(sorted(GOOD)), text=st.text(max_size=60))
def test_header_when_a_field_is_any_text_then_header_or_decode_error(name: str, text: str) -> None:
    """No text in a header crashes the ingest."""
    try:
        parse_header("gw-1", "0" * 16, "5", {**GOOD, name: text})
    except DecodeError as error:
        assert error.reason  # noqa: PT017  either outcome is right
