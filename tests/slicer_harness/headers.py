"""Read Qt class declarations (properties, signals, slots, methods) from C++ headers."""

from __future__ import annotations

import glob
import json
import os
import re
from pathlib import Path

_CLASS = re.compile(r"class\s+(?:[A-Z0-9_]+_EXPORT\s+)?(\w+)\s*(?:final\s*)?:\s*public\s+([\w:]+)[^{;]*\{", re.S)
_WORDS = "READ|MEMBER|WRITE|NOTIFY|RESET|DESIGNABLE|SCRIPTABLE|STORED|USER|CONSTANT|FINAL"
_PROP = re.compile(r"Q_PROPERTY\(\s*([\w:<>,\s\*]+?)\s+(\w+)\s+((?:" + _WORDS + r")[^)]*(?:\(\))?[^)]*)\)", re.S)
_FUNC = re.compile(
    r"(?:virtual\s+|static\s+|Q_INVOKABLE\s+|explicit\s+)*([\w:<>\*&,\s]+?[\s\*&])(\w+)\s*"
    r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)\s*(?:const)?\s*(?:override|final)?\s*(?:=\s*0)?\s*[;{]"
)


def _strip(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    return text


def _body(text, start):
    depth, i = 1, start
    while i < len(text) and depth:
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        i += 1
    return text[start : i - 1]


def _argtypes(args):
    out = []
    for a in [x.strip() for x in args.split(",") if x.strip()]:
        default = "=" in a
        a = a.split("=")[0].strip()
        a = re.sub(r"\bconst\b", "", a).replace("&", "").strip()
        m = re.match(r"^(.*?[\*\s])\s*(\w+)$", a)
        t = m.group(1) if m and m.group(1).strip() else a
        out.append((re.sub(r"\s+", "", t), default))
    return out


def parse(paths):
    table = {}
    for path in sorted(paths):
        text = _strip(Path(path).read_text(encoding="utf-8", errors="replace"))
        for m in _CLASS.finditer(text):
            name, base = m.group(1), m.group(2)
            body = _body(text, m.end())
            if "Q_OBJECT" not in body:
                continue
            entry = {"base": base, "properties": {}, "signals": {}, "methods": []}
            for p in _PROP.finditer(body):
                entry["properties"][p.group(2)] = {
                    "type": re.sub(r"\s+", "", p.group(1)),
                    "write": bool(re.search(r"\b(WRITE|MEMBER)\b", p.group(3))),
                    "read": (re.search(r"READ\s+(\w+)", p.group(3)) or [None, None])[1],
                    "set": (re.search(r"WRITE\s+(\w+)", p.group(3)) or [None, None])[1],
                    "notify": (re.search(r"NOTIFY\s+(\w+)", p.group(3)) or [None, None])[1],
                }
            section, nested = "private", re.sub(r"\{[^{}]*\}", ";", body)
            sections = r"((?:public|protected|private|Q_SIGNALS|signals)\s*(?:Q_SLOTS|slots)?\s*:(?!:))"
            for part in re.split(sections, nested):
                head = re.sub(r"\s+", " ", part.strip())
                if re.fullmatch(r"(public|protected|private|Q_SIGNALS|signals) ?(Q_SLOTS|slots)? ?:", head):
                    section = head.rstrip(" :")
                    continue
                if section.startswith(("private", "protected")):
                    continue
                part = re.sub(r"Q_\w+\s*(\([^)]*\))?", "", part)
                for f in _FUNC.finditer(part):
                    fname, args = f.group(2), _argtypes(f.group(3))
                    if fname == name:
                        continue
                    if section in ("Q_SIGNALS", "signals"):
                        while True:
                            sig = f"{fname}({','.join(a for a, _ in args)})"
                            entry["signals"].setdefault(fname, []).append(sig)
                            if not args or not args[-1][1]:
                                break
                            args = args[:-1]
                    elif fname not in entry["methods"]:
                        entry["methods"].append(fname)
            table[name] = entry
    return table


if __name__ == "__main__":
    import sys

    paths = [p for d in sys.argv[2:] for p in glob.glob(os.path.join(d, "*.h"))]
    table = parse(paths)
    Path(sys.argv[1]).write_text(json.dumps(table, indent=0, sort_keys=True))
    print(
        len(table),
        "classes",
        sum(len(e["properties"]) for e in table.values()),
        "properties",
        sum(len(e["signals"]) for e in table.values()),
        "signals",
    )
