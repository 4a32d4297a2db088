"""Reads and writes messages with pyiso8583, for the test beside it.

Standard input has a JSON line for each: {"spec": {...}, "hex": "..."}. Standard output has one for each: what was
read, and that written again, {"fields": {...}, "hex": "..."}; or {"error": "..."}.
"""

import json
import sys

import iso8583

for line in sys.stdin.read().splitlines():
    case = json.loads(line)
    try:
        fields, _ = iso8583.decode(bytes.fromhex(case["hex"]), case["spec"])
        read = {key: value for key, value in fields.items() if key not in ("p", "1")}
        written, _ = iso8583.encode(dict(read), case["spec"])
        print(json.dumps({"fields": read, "hex": bytes(written).hex()}))
    except Exception as error:  # whatever it is, the test tells it
        print(json.dumps({"error": repr(error)}))
