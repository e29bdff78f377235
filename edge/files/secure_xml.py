"""The gate before every XML parser: no document type, so no entities to expand and no files to fetch."""

import re

from shared.errors import DecodeError

_BOM = b"\xef\xbb\xbf"
_PROLOG = re.compile(rb"\s*(<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(\[.*?\]\s*)?>)", re.DOTALL)
_ROOT = re.compile(rb"\s*<([A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)[\s/>]")
_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([^"']*)["']""")
# In these, `<!DOCTYPE` has the same bytes; in UTF-16 or EBCDIC it has others, and would pass unseen.
_ENCODINGS = re.compile(rb"(utf-?8|us-ascii|ascii|iso-8859-\d+|windows-125\d)", re.IGNORECASE)
_HEAD_BYTES = 8192
# Real files nest less than 15 levels.
_MAX_DEPTH = 64
_TAG = re.compile(rb"<(/?)[A-Za-z_][^<>]*?(/?)>")


def root_of(body: bytes) -> str | None:
    """Return the name of the root element without its prefix, or None when the bytes do not begin like XML."""
    head = body[:_HEAD_BYTES].removeprefix(_BOM)
    while prolog := _PROLOG.match(head):
        head = head[prolog.end() :]
    found = _ROOT.match(head)
    return found[2].decode("ascii", "replace") if found else None


def check_xml(body: bytes) -> None:
    """Pass XML that is safe to hand to a parser.

    Raises: DecodeError for a document type, an entity, an encoding that could hide one, or absurd nesting.
    """
    head = body[:_HEAD_BYTES]
    declared = _ENCODING.search(head)
    if b"\x00" in head or (declared and not _ENCODINGS.fullmatch(declared[1])):
        raise DecodeError("its XML is in an encoding that is not accepted (UTF-8 is)")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise DecodeError("its XML declares a document type or entities, which are not accepted")
    depth = 0
    for tag in _TAG.finditer(body):
        depth += -1 if tag[1] else 0 if tag[2] else 1
        if depth > _MAX_DEPTH:
            raise DecodeError(f"its XML is nested more than {_MAX_DEPTH} deep")
