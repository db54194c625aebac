#!/usr/bin/env python3
"""merge_json.py FILE...: one line of JSON with the fields of the objects that the files' last lines are; of a field that several have, the last."""

import json
import pathlib
import sys

print(json.dumps({key: value for path in sys.argv[1:] for key, value in json.loads(pathlib.Path(path).read_text().splitlines()[-1]).items()}))
