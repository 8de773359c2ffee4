"""Stands in a worker's container for the way out: from 127.0.0.1 to the socket that the proxy listens on.

    python3 -I -S -c THIS PORT SOCKET

Programs know proxies by host and port alone, and the container's network leads nowhere. It decides nothing:
whoever is in the container may as well speak to the socket itself. Without dependencies.
"""

import selectors
import socket
import sys
import time

PIECE = 1 << 16
PATIENCE = 3.0
"""Seconds for which a proxy that is being started is tried."""


def reach(path: str) -> socket.socket | None:
    """A connection to the proxy; None where there is none."""
    deadline = time.monotonic() + PATIENCE
    while True:
        way = socket.socket(socket.AF_UNIX)
        try:
            way.connect(path)
        except OSError:
            way.close()
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)
        else:
            return way


class Side:
    """One end of a connection: what was read from it waits until the other end takes it."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.end = end
        self.other = self
        self.waiting = b""
        self.over = False

    def interests(self) -> int:
        read = 0 if self.waiting or self.over else selectors.EVENT_READ
        return read | (selectors.EVENT_WRITE if self.other.waiting else 0)


class Relay:
    def __init__(self, port: int, path: str) -> None:
        self.path = path
        self.events = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.listener.setblocking(False)
        self.events.register(self.listener, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, ready in self.events.select():
                if key.data is None:
                    self.accept()
                elif key.data.end.fileno() != -1:  # closed with its other end, a moment ago
                    self.move(key.data, ready)

    def accept(self) -> None:
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        way = reach(self.path)
        if way is None:
            client.close()
            return
        one, other = Side(client), Side(way)
        one.other, other.other = other, one
        for side in (one, other):
            self.events.register(side.end, side.interests(), side)

    def move(self, side: Side, ready: int) -> None:
        try:
            if ready & selectors.EVENT_WRITE:
                self.give(side)
            if ready & selectors.EVENT_READ and not side.waiting:
                side.waiting = side.end.recv(PIECE)
                side.over = not side.waiting
                self.give(side.other)
        except BlockingIOError:
            pass
        except OSError:
            self.drop(side)
            return
        if side.over and side.other.over and not (side.waiting or side.other.waiting):
            self.drop(side)
            return
        for one in (side, side.other):
            self.watch(one)

    def give(self, side: Side) -> None:
        """Write to this end what was read from the other, or that there is no more."""
        source = side.other
        if source.waiting:
            sent = side.end.send(source.waiting)
            source.waiting = source.waiting[sent:]
        if source.over and not source.waiting:
            side.end.shutdown(socket.SHUT_WR)

    def watch(self, side: Side) -> None:
        """Wait for what this end can do next. An end that can do nothing now is not listened to."""
        wanted = side.interests()
        known = side.end.fileno() in self.events.get_map()
        if wanted and known:
            self.events.modify(side.end, wanted, side)
        elif wanted:
            self.events.register(side.end, wanted, side)
        elif known:
            self.events.unregister(side.end)

    def drop(self, side: Side) -> None:
        for one in (side, side.other):
            if one.end.fileno() in self.events.get_map():
                self.events.unregister(one.end)
            one.end.close()


if __name__ == "__main__":
    Relay(int(sys.argv[1]), sys.argv[2]).serve()
