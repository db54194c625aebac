#!/usr/bin/env python3
"""Compares our chat templates with transformers' (Jinja), text for text.

    template_parity.py --render build/tests/render_chat [--conversations 100]

Every template (chat_templates.py) is rendered for that many conversations, with and without the prompt for an answer; where transformers fails we must fail
too. Templates with {% generation %} blocks must mark the same parts. Prints, last, one JSON object.
"""

import argparse
import calendar
import copy
import datetime
import json
import subprocess
import sys

import transformers
from chat_templates import TOKENS, cases
from transformers.utils.chat_template_utils import _normalize_chat_messages, render_jinja_template


def theirs(template, messages, tools, extra, add_generation_prompt, masks):
    """[text], [text, spans in bytes] or [None, message]."""
    try:
        texts, spans = render_jinja_template(
            conversations=[_normalize_chat_messages(copy.deepcopy(messages))], tools=tools, chat_template=template, return_assistant_tokens_mask=masks,
            add_generation_prompt=add_generation_prompt, **TOKENS, **extra)
    except Exception as error:  # whatever a template raises
        return [None, f"{type(error).__name__}: {error}"]
    if not masks:
        return [texts[0]]
    size = lambda end: len(texts[0][:end].encode())
    return [texts[0], [[size(begin), size(end)] for begin, end in spans[0] if begin < end]]


def requests(count, now):
    for name, template, messages, tools, extra in cases(count):
        masks = name == "generation_blocks"
        for prompt in (False, True) if not masks else (False,):
            variables = {"messages": messages, **({"tools": tools} if tools else {}), **extra}
            yield name, {"template": template, "variables": variables, "special_tokens": TOKENS, "unix_seconds": now, "add_generation_prompt": prompt,
                         "masks": masks}, theirs(template, messages, tools, extra, prompt, masks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--render", required=True)
    parser.add_argument("--conversations", type=int, default=100)
    parser.add_argument("--show", type=int, default=10)
    arguments = parser.parse_args()
    now = calendar.timegm(datetime.datetime.now().timetuple())
    asked = list(requests(arguments.conversations, now))
    run = subprocess.run([arguments.render], input="".join(json.dumps(request) + "\n" for _, request, _ in asked), capture_output=True, encoding="utf-8")
    if run.returncode != 0:
        sys.exit(f"{arguments.render}: {run.stderr}")
    mismatches, failures = 0, 0
    for (name, request, expected), line in zip(asked, run.stdout.split("\n")[:-1], strict=True):
        found = json.loads(line)
        failures += expected[0] is None
        if found == expected or (found[0] is None and expected[0] is None):
            continue
        mismatches += 1
        if mismatches <= arguments.show:
            print(f"{name}: {request['template'][:200] if name.startswith(('snippet', 'white')) else json.dumps(request['variables'])[:300]}\n"
                  f"    expected {expected!r}\n    found    {found!r}", file=sys.stderr)
    print(f"transformers {transformers.__version__}: {len(asked)} texts, {failures} of which transformers refuses; {mismatches} differ")
    print(json.dumps({"template_text_count": len(asked), "template_mismatch_count": mismatches}))
    sys.exit(1 if mismatches else 0)


if __name__ == "__main__":
    main()
