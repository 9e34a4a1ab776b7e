"""Computes the proofs, paths and context values of a file of vectors. Exits with 1 if one differs.

It uses only Python's standard library, and is written from docs/reference/formats.md alone: python3 check_proofs.py proofs.json
"""

import hashlib
import hmac
import json
import sys
from decimal import Decimal


def lp(value):
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(4, "big") + data


def u64(value):
    return value.to_bytes(8, "big")


def expand32(key, info):
    """HKDF-Expand-SHA-256 of RFC 5869, section 2.3, for 32 bytes: one block."""
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


def record_proof(vector):
    entries = sorted((name.encode(), value.encode()) for name, value in vector["context"].items())
    info = lp("keyfold/record-proof/1") + lp(vector["form"]) + lp(vector["path"])
    info += len(entries).to_bytes(4, "big") + b"".join(lp(name) + lp(value) for name, value in entries)
    info += lp(bytes.fromhex(vector["sealed"])[-28:])
    return expand32(bytes.fromhex(vector["dataRowKey"]), info)


def row_proof(vector):
    if "dataKey" in vector:
        key = expand32(bytes.fromhex(vector["dataKey"]), lp("keyfold/row-proof-key/1"))
    else:
        key = bytes.fromhex(vector["key"])
    parent = vector["parent"] or {"id": "", "created": 0}
    info = lp("keyfold/row-proof/1") + lp(vector["kind"]) + lp(vector["id"]) + u64(vector["created"])
    info += lp(parent["id"]) + u64(parent["created"]) + lp(bytes.fromhex(vector["sealed"]))
    return expand32(key, info)


ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "'": "\\'", "\\": "\\\\"}


def path(steps, exact):
    """The path of a field, from the names and the indexes above it."""
    text = "$"
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]" if exact else "[*]"
        else:
            escaped = (ESCAPES.get(char, f"\\u{ord(char):04x}" if char < " " else char) for char in step)
            text += "['" + "".join(escaped) + "']"
    return text


def context_value(text):
    """The value of a context's entry that `contextFrom` reads from a document."""
    value = json.loads(text, parse_float=Decimal)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(int(value))


with open(sys.argv[1], encoding="utf-8") as file:
    vectors = json.load(file)
checked = [(vector["name"], record_proof(vector).hex() == vector["proof"]) for vector in vectors["recordProofs"]]
checked += [(vector["name"], row_proof(vector).hex() == vector["proof"]) for vector in vectors["rowProofs"]]
for vector in vectors["paths"]:
    paths = [path(vector["steps"], exact) for exact in (False, True)]
    checked.append((vector["name"], paths == [vector["path"], vector["exactPath"]]))
checked += [(vector["name"], context_value(vector["json"]) == vector["text"]) for vector in vectors["contextValues"]]
differ = [name for name, agrees in checked if not agrees]
for name in differ:
    print("DIFFERS: " + name)
print(f"{len(checked) - len(differ)} vectors agree, {len(differ)} differ")
sys.exit(1 if differ or not checked else 0)
