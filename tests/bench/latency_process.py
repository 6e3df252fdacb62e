"""`python -m tests.bench.latency_process ROUNDS ADDRESS START_NS END_NS…`: seconds to the first batch of
an ordered export of everything, and to the last event of a query for the events of [START_NS, END_NS).

There may be any number of such triples; the servers are asked in turns, on warm channels. It prints
{"first_batch": […], "selected": […], "rows": […]}, each with a list or number a server.
"""

import json
import sys
import time
from contextlib import ExitStack

from argus_client import EventQuery, ExportClient


def _first_batch_s(client: ExportClient) -> float:
    start_s = time.perf_counter()
    with client.export() as export:
        next(iter(export))
        return time.perf_counter() - start_s


def _selected(client: ExportClient, query: EventQuery) -> tuple[float, int]:
    start_s = time.perf_counter()
    rows = sum(batch.num_rows for batch in client.export(query))
    return time.perf_counter() - start_s, rows


def _measure(rounds: int, servers: list[tuple[str, EventQuery]]) -> dict[str, object]:
    first_batch: list[list[float]] = [[] for _ in servers]
    selected: list[list[float]] = [[] for _ in servers]
    rows = [0] * len(servers)
    with ExitStack() as stack:
        clients = [stack.enter_context(ExportClient(address)) for address, _ in servers]
        # The first round is the warm-up.
        for _ in range(rounds + 1):
            for place, client in enumerate(clients):
                first_batch[place].append(_first_batch_s(client))
            for place, (client, (_, query)) in enumerate(zip(clients, servers, strict=True)):
                selected_s, rows[place] = _selected(client, query)
                selected[place].append(selected_s)
    return {
        "first_batch": [seconds[1:] for seconds in first_batch],
        "selected": [seconds[1:] for seconds in selected],
        "rows": rows,
    }


if __name__ == "__main__":
    rounds, *words = sys.argv[1:]
    triples = zip(words[::3], words[1::3], words[2::3], strict=True)
    servers = [(address, EventQuery(start=int(start), end=int(end))) for address, start, end in triples]
    print(json.dumps(_measure(int(rounds), servers)))
