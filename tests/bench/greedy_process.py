"""`python -m tests.bench.greedy_process ADDRESS EXPORTS TOKEN`: makes exports, again and again.

Each of its exports has a connection of its own, takes the messages as they come and looks at none. Lines on
standard input say how: `fast` or `slow MESSAGES_PER_S` for exports of everything, `small` for such of 100
events, answered with `running` once all have had a batch; `stop`, answered with the number of messages that
came. It ends with the input.
"""

import sys
import threading
import time

import grpc

from argus_grpc.v1.export_pb2 import DESCRIPTOR, Encoding, StreamEventsRequest

_METHOD = f"/{DESCRIPTOR.services_by_name['ExportService'].full_name}/StreamEvents"
_ALL = StreamEventsRequest(columns=["all"], encoding=Encoding.ENCODING_ARROW)
_SMALL = StreamEventsRequest(encoding=Encoding.ENCODING_ARROW, limit=100)
_MESSAGES_BEFORE_RUNNING = 2
_PAUSE_S = 0.1


class _Greedy:
    def __init__(self, address: str, exports: int, token: str) -> None:
        self._address = address
        self._exports = exports
        self._metadata = (("authorization", f"Bearer {token}"),)

    def start(self, request: StreamEventsRequest, interval_s: float) -> None:
        self._request = request.SerializeToString()
        self._interval_s = interval_s
        self._is_over = threading.Event()
        self._messages = [0] * self._exports
        self._threads = [
            threading.Thread(target=self._export, args=(place,)) for place in range(self._exports)
        ]
        for thread in self._threads:
            thread.start()
        while min(self._messages) < _MESSAGES_BEFORE_RUNNING:
            time.sleep(_PAUSE_S)

    def stop(self) -> int:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        return sum(self._messages)

    def _export(self, place: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._address, options=options) as channel:
            while not self._is_over.is_set():
                try:
                    self._take(channel, place)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    self._is_over.wait(_PAUSE_S)

    def _take(self, channel: grpc.Channel, place: int) -> None:
        stream: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(_METHOD)
        call = stream(self._request, metadata=self._metadata)
        for _ in call:
            self._messages[place] += 1
            if self._is_over.wait(self._interval_s) if self._interval_s else self._is_over.is_set():
                call.cancel()
                return


def main() -> None:
    address, exports, token = sys.argv[1:]
    greedy = _Greedy(address, int(exports), token)
    for line in sys.stdin:
        word, *per_s = line.split()
        if word == "stop":
            answer = str(greedy.stop())
        else:
            greedy.start(_SMALL if word == "small" else _ALL, 1 / float(per_s[0]) if per_s else 0.0)
            answer = "running"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
