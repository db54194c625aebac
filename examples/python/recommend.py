#!/usr/bin/env python3
"""Asks a server which mix fine-tunes Llama 3.1 8B soonest on one A100, and prints it.

    pip install grpcio-tools
    recommend.py [SERVER] [--proto DIRECTORY]

The messages are made from the protos when it starts; /usr/local/share/tunesmith/proto is where an installation has them.
"""

import argparse
import sys

import grpc


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", nargs="?", default="127.0.0.1:7433")
    parser.add_argument("--proto", default="/usr/local/share/tunesmith/proto")
    arguments = parser.parse_args()

    sys.path.append(arguments.proto)
    messages, services = grpc.protos_and_services("tunesmith/v1/recommender.proto")
    plan = grpc.protos("tunesmith/v1/plan.proto")

    question = messages.Question(
        model_name="Llama-3.1-8B",
        device_name="A100-80GB",
        method=plan.METHOD_LORA,
        workload=plan.Workload(context=4096, rows_per_step=16, document_capacity=64),
    )
    with grpc.insecure_channel(arguments.server) as channel:
        try:
            answer = services.RecommenderServiceStub(channel).Recommend(
                messages.RecommendRequest(question=question), timeout=10
            )
        except grpc.RpcError as error:
            print(f"{arguments.server}: {error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    if not answer.ranked:
        print("nothing fits")
        return 3
    chosen = answer.ranked[0]
    print(chosen.mix_line)
    print(
        f"{chosen.prediction.memory.total_bytes / 2**30:.2f} GiB, "
        f"{chosen.prediction.time.step_seconds:.2f} s per step"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
