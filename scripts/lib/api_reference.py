#!/usr/bin/env python3
"""Writes the reference of the API from the protos and their comments, in Markdown, to standard output.

Needs grpcio-tools, which `./dev setup` puts into .venv. `./dev lint` compares docs/reference/api.md with it.
"""

import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[2] / "proto"
SCALARS = {value: name[len("TYPE_"):].lower() for name, value in descriptor_pb2.FieldDescriptorProto.Type.items()}
# Field numbers in descriptor.proto, which paths of comments are made of.
MESSAGE, ENUM, SERVICE, FIELD, METHOD, VALUE = 4, 5, 6, 2, 2, 2


def read_files():
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tunesmith/v1").glob("*.proto"))
    includes = [f"-I{ROOT}", f"-I{pathlib.Path(protoc.__file__).parent / '_proto'}"]
    with tempfile.NamedTemporaryFile() as out:
        if protoc.main(["protoc", *includes, "--include_source_info", f"--descriptor_set_out={out.name}", *files]) != 0:
            sys.exit("api_reference: protoc refused the protos")
        return descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes()).file


def comments_of(file):
    return {
        tuple(location.path): "\n".join(line.strip() for line in location.leading_comments.strip().splitlines())
        for location in file.source_code_info.location
        if location.leading_comments
    }


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


def type_of(field):
    name = field.type_name.rsplit(".", 1)[-1] if field.type_name else SCALARS[field.type]
    if field.type_name.startswith(".tunesmith"):
        name = f"[{name}](#{name.lower()})"
    return ("repeated " if field.label == field.LABEL_REPEATED else "") + name


def service_text(service, path, comments):
    yield f"### {service.name}\n\n{comments.get(path, '')}\n"
    for index, method in enumerate(service.method):
        request, response = (name.rsplit(".", 1)[-1] for name in (method.input_type, method.output_type))
        stream = "stream " if method.server_streaming else ""
        yield f"#### {method.name}\n\n`{method.name}({request}) returns ({stream}{response})`\n\n{comments.get((*path, METHOD, index), '')}\n"


def message_text(message, path, comments):
    yield f"### {message.name}\n\n{comments.get(path, '')}\n"
    if not message.field:
        return
    yield "| field | type | |\n|---|---|---|"
    for index, field in enumerate(message.field):
        choice = ""
        if field.HasField("oneof_index") and not field.proto3_optional:
            choice = f"one of `{message.oneof_decl[field.oneof_index].name}`: "
        yield f"| `{field.name}` | {type_of(field)} | {choice}{cell(comments.get((*path, FIELD, index), ''))} |"
    yield ""


def enum_text(enum, path, comments):
    yield f"### {enum.name}\n\n{comments.get(path, '')}\n\n| value | |\n|---|---|"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {cell(comments.get((*path, VALUE, index), ''))} |"
    yield ""


def main():
    lines = [
        "# The API\n\nWritten by `scripts/lib/api_reference.py` from the protos. Errors are `google.rpc.Status` with an `ErrorInfo`; what each call refuses stands beside it. "
        "[docs/service.md](../service.md) tells of repeating calls, pages and deadlines, [examples](../../examples) how to call it.\n"
    ]
    for file in read_files():
        comments = comments_of(file)
        lines.append(f"## {file.name}\n")
        for index, service in enumerate(file.service):
            lines += service_text(service, (SERVICE, index), comments)
        for index, message in enumerate(file.message_type):
            lines += message_text(message, (MESSAGE, index), comments)
        for index, enum in enumerate(file.enum_type):
            lines += enum_text(enum, (ENUM, index), comments)
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    main()
