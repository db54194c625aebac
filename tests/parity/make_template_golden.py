#!/usr/bin/env python3
"""Writes what transformers make of chat templates: make_template_golden.py OUTPUT_FILE. Run again only to change the cases."""

import json
import pathlib
import sys

from chat_templates import TOKENS
from template_parity import requests

CONVERSATIONS = 2
NOW = 1_750_000_000


def main():
    seen, golden = {}, []
    for name, request, expected in requests(CONVERSATIONS, NOW):
        if "strftime_now" in request["template"]:
            continue  # theirs knows only the real now
        template = seen.setdefault(request["template"], len(seen))
        golden.append({"name": name, "template": template, "variables": request["variables"], "prompt": request["add_generation_prompt"],
                       "text": expected[0]})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in golden)
    templates = ",\n".join(json.dumps(template, ensure_ascii=False) for template in seen)
    pathlib.Path(sys.argv[1]).write_text(f'{{"special_tokens": {json.dumps(TOKENS)},\n"templates": [\n{templates}\n],\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
