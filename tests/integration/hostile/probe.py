"""What a hostile agent tries, run inside its container by its shell tool: `python3 probe.py < attempts.json`.

Prints {name: what it came to}: "reached: …" with what was read, or "no: …" with why not. The same program is
run elsewhere too, where the same attempts succeed: so a "no" is the cage's and not the program's.
"""

import json
import os
import socket
import stat
import struct
import subprocess
import sys
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = 3.0


def spoken(way, request):
    way.settimeout(SECONDS)
    way.sendall(request.encode())
    answer = way.recv(4096)
    return answer.decode(errors="replace")


def tcp(host, port, label):
    """Straight to an address."""
    with socket.create_connection((host, port), timeout=SECONDS) as way:
        return spoken(way, f"GET /{label} HTTP/1.0\r\n\r\n")


def proxied(host, port, label):
    """By the proxy that the environment names, as a request."""
    with to_proxy() as way:
        said = spoken(way, f"GET http://{host}:{port}/{label} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    return passed(said)


def tunnelled(host, port, label):
    """By the proxy, as a tunnel."""
    with to_proxy() as way:
        passed(spoken(way, f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n"))
        return spoken(way, f"GET /{label} HTTP/1.0\r\n\r\n")


def to_proxy():
    parts = urllib.parse.urlsplit(os.environ["https_proxy"])
    return socket.create_connection((parts.hostname, parts.port), timeout=SECONDS)


def passed(answer):
    if not answer.split(" ")[1:2] or answer.split(" ")[1] != "200":
        raise PermissionError(answer.split("\r\n")[0])
    return answer


def udp(host, port, label):
    """A question to a name server, which could carry anything."""
    name = b"".join(bytes([len(part)]) + part.encode() for part in (label, "canary", "test"))
    question = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.settimeout(SECONDS)
        way.connect((host, port))
        way.send(question)
        answer = way.recv(512)
    if answer[3] & 15:
        raise PermissionError(f"answered with code {answer[3] & 15}")
    return repr(answer[-4:])


def resolve(name):
    return str(socket.getaddrinfo(name, 80)[0][4])


def connect_unix(path):
    with socket.socket(socket.AF_UNIX) as way:
        way.connect(path)
        return path


def read(path):
    return Path(path).read_text(errors="replace")[:200]


def write(path):
    Path(path).write_text("planted")
    return path


def search(markers):
    """Files anywhere that hold one of these words."""
    skipped = ["--exclude-dir=proc", "--exclude-dir=sys", "--exclude=attempts.json"]
    done = ended(["grep", "-rohF", *skipped, "-f", "-", "/"], "\n".join(markers))
    return ",".join(sorted(set(done.stdout.split())))


def environments(markers):
    """The same in the environment and arguments of every process that shows."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/*"):
        if file.name in ("environ", "cmdline"):
            try:
                text = file.read_text(errors="replace")
            except OSError:
                continue
            found |= {marker for marker in markers if marker in text}
    return ",".join(sorted(found))


def sockets():
    """Every Unix socket that there is a file of."""
    found = []
    for folder, _, names in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            continue
        for name in names:
            path = Path(folder, name)
            try:
                if stat.S_ISSOCK(path.lstat().st_mode):
                    found.append(str(path))
            except OSError:
                continue
    return ",".join(sorted(found))


def device(path):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    return path


def mount(source, target):
    return passing(["mount", "-t", "tmpfs", source, target])


def unshare():
    """A namespace of its own, in which it would be root."""
    return passing(["unshare", "-Ur", "id", "-u"])


def large(path, size):
    """A file of this size, most of it holes."""
    with Path(path).open("wb") as file:
        file.seek(size - 1)
        file.write(b"x")
    return str(Path(path).stat().st_size)


def forks(most):
    """Children until no more can be made."""
    children = []
    try:
        while len(children) < most:
            child = os.fork()
            if child == 0:
                os.execvp("sleep", ["sleep", "60"])
            children.append(child)
    finally:
        print(json.dumps({"forked": len(children)}), file=sys.stderr)
        for child in children:
            os.kill(child, 9)
    return str(len(children))


def passing(argv):
    done = ended(argv)
    if done.returncode:
        raise PermissionError((done.stderr or done.stdout).strip()[-300:])
    return done.stdout.strip()


def ended(argv, said=""):
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=30, env=environment, input=said
    )


def attempt(name, kind, arguments):
    try:
        return name, "reached: " + globals()[kind](*arguments)
    except Exception as error:
        return name, f"no: {type(error).__name__}: {error}"


if __name__ == "__main__":
    with ThreadPoolExecutor(16) as pool:
        wanted = json.load(sys.stdin).items()
        print(json.dumps(dict(pool.map(lambda one: attempt(one[0], one[1][0], one[1][1:]), wanted))))
