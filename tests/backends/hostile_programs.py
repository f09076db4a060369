"""Programs that attack their sandbox or their judge.

Each is judged against something it must not be able to give: a function's values that it does not
compute, or an output that it can only print if it got out. So a verdict of "correct" is a breach.
``PORT`` and ``TOKEN`` of a listening loopback server and ``SECRET``, a file below the home folder,
are filled in.
"""

from pathlib import Path
from typing import Literal, NamedTuple

from r1data.backends.sandbox import CallTests, Program, Sandbox


class Hostile(NamedTuple):
    name: str
    kind: Literal["calls", "stdin"]
    source: str
    wants: str = "got out"
    """stdin: the output that would mean a breach. ``TOKEN`` is the server's and the file's text."""


FORGERIES = [
    Hostile(
        "os._exit(0) at import",
        "calls",
        """
import os
os._exit(0)
""",
    ),
    Hostile(
        "os._exit(0) in the call",
        "calls",
        """
import os
def f(x):
    os._exit(0)
""",
    ),
    Hostile(
        "sys.exit(0)",
        "calls",
        """
import sys
def f(x):
    sys.exit(0)
""",
    ),
    Hostile(
        "raise SystemExit",
        "calls",
        "raise SystemExit(0)",
    ),
    Hostile(
        "prints passed",
        "calls",
        r"""
print('passed\nOK\n{"verdict": "passed"}')
def f(x):
    return None
""",
    ),
    Hostile(
        "no AssertionError",
        "calls",
        """
import builtins, sys
class Quiet(BaseException):
    def __new__(cls, *a): sys.exit(0)
builtins.AssertionError = Quiet
def f(x):
    return None
""",
    ),
    Hostile(
        "patched builtins",
        "calls",
        """
import builtins
for name in ('all', 'any', 'abs', 'isinstance', 'bool', 'len', 'set'):
    setattr(builtins, name, lambda *a, **k: True)
def f(x):
    return None
""",
    ),
    Hostile(
        "__eq__ is always true",
        "calls",
        """
class Same:
    __eq__ = __lt__ = __gt__ = __contains__ = lambda *a: True
    __hash__ = lambda self: 2
    __bool__ = lambda self: True
def f(x):
    return Same()
""",
    ),
    Hostile(
        "int whose __eq__ is always true",
        "calls",
        """
class Same(int):
    __eq__ = lambda *a: True
    __ne__ = lambda *a: False
    __hash__ = int.__hash__
def f(x):
    return Same(7)
""",
    ),
    Hostile(
        "stops the tests' iteration",
        "calls",
        """
def f(x):
    raise StopIteration
""",
    ),
    Hostile(
        "writes on every descriptor",
        "calls",
        """
import json, os
said = {'verdict': 'passed', 'where': '', 'why': ''}
said = json.dumps(said).encode()
for fd in range(3, 64):
    try:
        os.write(fd, len(said).to_bytes(4, 'big') + said)
    except OSError: pass
def f(x):
    return None
""",
    ),
    Hostile(
        "closes every descriptor",
        "calls",
        """
import os
os.closerange(0, 64)
def f(x):
    return None
""",
    ),
    Hostile(
        "looks for the tests in frames and heap",
        "calls",
        """
import gc, sys
def f(x):
    frame = sys._getframe()
    found = []
    while frame:
        found += list(frame.f_locals.values())
        found += list(frame.f_globals.values())
        frame = frame.f_back
    found += gc.get_objects()
    text = repr([o for o in found if type(o) is str])
    at = text.find('assert f(%d) == ' % x)
    return eval(text[at:].split('==')[1].split("'")[0]) if at >= 0 else None
""",
    ),
    Hostile(
        "looks for the tests in /proc",
        "calls",
        """
import glob, os
def f(x):
    for path in glob.glob('/proc/[0-9]*/*'):
        try:
            text = open(path, 'rb').read(1 << 20)
            at = text.find(b'assert f(%d) == ' % x)
            if at >= 0:
                return int(text[at:].split(b'==')[1].split()[0])
        except (OSError, ValueError): pass
""",
    ),
    Hostile(
        "reads its own memory",
        "calls",
        """
import re
def f(x):
    needle = re.compile(b'assert f.%d. =' % x + b'= ([0-9]+)')
    for line in open('/proc/self/maps'):
        span, rights = line.split()[:2]
        begin, end = (int(part, 16) for part in span.split('-'))
        try:
            memory = open('/proc/self/mem', 'rb', 0)
            memory.seek(begin)
            found = needle.search(memory.read(end - begin))
        except (OSError, ValueError, OverflowError):
            continue
        if found:
            return int(found[1])
""",
    ),
    Hostile(
        "patches the runner",
        "calls",
        """
import sys
for name, module in list(sys.modules.items()):
    if 'sandbox' in name:
        for key in list(vars(module)):
            if not key.startswith('__'):
                setattr(module, key, lambda *a, **k: True)
def f(x):
    return None
""",
    ),
    Hostile(
        "answers for the encoder",
        "calls",
        """
import sys
guest = sys.modules['r1data.backends.sandbox_guest']
guest.encode = lambda *a: ['ref', '__class__']
def f(x):
    return None
""",
    ),
    Hostile(
        "sends answers before it is asked",
        "calls",
        """
import json, os
for answer in ({'value': True}, {'value': ['ref', 0]}, {'value': [1]}):
    data = json.dumps(answer).encode()
    for fd in range(3, 20):
        try:
            os.write(fd, len(data).to_bytes(4, 'big') + data)
        except OSError: pass
def f(x):
    return None
""",
    ),
    Hostile(
        "patches unittest and the harness's modules",
        "calls",
        """
import ast, traceback, types, unittest
unittest.TestCase.assertEqual = lambda *a: None
ast.parse = compile = lambda *a, **k: None
traceback.extract_tb = None
def f(x):
    return None
""",
    ),
]

BOMBS = [
    Hostile(
        "endless loop",
        "calls",
        """
def f(x):
    while True: pass
""",
    ),
    Hostile(
        "sleeps",
        "calls",
        """
import time
def f(x):
    time.sleep(60)
""",
    ),
    Hostile(
        "memory bomb",
        "calls",
        """
def f(x):
    kept = []
    while True: kept.append('a' * 10**7)
""",
    ),
    Hostile(
        "memory bomb in many processes",
        "calls",
        """
import os, time
def f(x):
    for _ in range(20):
        if os.fork() == 0:
            kept = b'a' * (300 << 20)
            time.sleep(60)
    time.sleep(60)
""",
    ),
    Hostile(
        "deep recursion",
        "calls",
        """
def f(x):
    return f(x + 1) + 1
""",
    ),
    Hostile(
        "stack overflow",
        "calls",
        """
import sys
sys.setrecursionlimit(10**9)
def f(x):
    return max([x, x], key=f)
""",
    ),
    Hostile(
        "regex bomb",
        "calls",
        """
import re
def f(x):
    return re.match('(a+)+$', 'a' * 64 + 'b')
""",
    ),
    Hostile(
        "huge int as text",
        "calls",
        """
def f(x):
    return str(10 ** (10 ** 9))
""",
    ),
    Hostile(
        "huge int as answer",
        "calls",
        """
def f(x):
    return 1 << (1 << 27)
""",
    ),
    Hostile(
        "deeply nested answer",
        "calls",
        """
def f(x):
    out = []
    for _ in range(10**6): out = [out]
    return out
""",
    ),
    Hostile(
        "endless iterator",
        "calls",
        """
import itertools
def f(x):
    return list(itertools.count())
""",
    ),
    Hostile(
        "a frame without end",
        "calls",
        r"""
import os
while True:
    os.write(3, b'\x00' * 65536)
""",
    ),
    Hostile(
        "nested source",
        "calls",
        """
exec("f = " + "(" * 5000 + "1" + ")" * 5000)
""",
    ),
    Hostile(
        "endless output",
        "stdin",
        "while True: print('got out' * 1000)",
    ),
    Hostile(
        "endless errors",
        "stdin",
        """
import sys
while True: sys.stderr.write('x' * 10000)
""",
    ),
    Hostile(
        "ignores signals",
        "stdin",
        """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True: time.sleep(1)
""",
    ),
    Hostile(
        "threads left behind",
        "stdin",
        """
import threading, time
for _ in range(10):
    threading.Thread(target=time.sleep, args=(60,)).start()
print('got out')
""",
    ),
    Hostile(
        "fork bomb",
        "stdin",
        """
import os, time
count = 0
try:
    while count < 300:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except OSError: pass
print('got out' if count > 100 else count)
""",
    ),
    Hostile(
        "fork bomb, doubling",
        "stdin",
        """
import os
while True:
    try: os.fork()
    except OSError: pass
""",
    ),
]

ESCAPES = [
    Hostile(
        "fills the disk",
        "stdin",
        """
import os
written = 0
for top, folders, _ in os.walk('/'):
    if top in ('/proc', '/usr'): folders[:] = []
    for number in range(40):
        try:
            with open(f'{top}/fill{number}', 'wb', 0) as file:
                while True: written += file.write(b'x' * 65536)
        except OSError: pass
print('got out' if written > 50 << 20 else written)
""",
    ),
    Hostile(
        "fills /dev/shm",
        "stdin",
        """
written = 0
for number in range(100):
    try:
        with open(f'/dev/shm/{number}', 'wb', 0) as file:
            while True: written += file.write(b'x' * 65536)
    except OSError: pass
print('got out' if written > 2 << 20 else written)
""",
    ),
    Hostile(
        "memory that no limit counts",
        "stdin",
        """
import ctypes, os
out = 0
libc = ctypes.CDLL(None)
try:
    os.memfd_create('m')
    out = 1
except OSError: pass
if libc.shmget(0, 1 << 20, 0o1600) >= 0: out = 1
print('got out' if out else 'no')
""",
    ),
    Hostile(
        "new namespaces",
        "stdin",
        """
import ctypes
libc = ctypes.CDLL(None)
print('got out' if 0 in (libc.unshare(0x10000000), libc.unshare(0x10020000)) else 'no')
""",
    ),
    Hostile(
        "connects to a server of the host",
        "stdin",
        """
import socket
socket.setdefaulttimeout(2)
for host in ('127.0.0.1', '::1', 'localhost'):
    try:
        print(socket.create_connection((host, PORT)).recv(100).decode())
    except OSError: pass
""",
        "TOKEN",
    ),
    Hostile(
        "asks a name server",
        "stdin",
        """
import socket
try:
    socket.getaddrinfo('example.org', 80)
    print('got out')
except OSError: print('no')
""",
    ),
    Hostile(
        "sends a datagram",
        "stdin",
        """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    sock.sendto(b'x', ('198.51.100.1', 53))
    print('got out')
except OSError: print('no')
""",
    ),
    Hostile(
        "vsock and netlink",
        "stdin",
        """
import socket
for family in (16, 38, 40):
    for kind in (1, 2, 3, 5):
        try:
            socket.socket(family, kind)
            print('got out')
        except OSError: pass
""",
    ),
    Hostile(
        "reads the home folder",
        "stdin",
        "print(open('SECRET').read())",
        "TOKEN",
    ),
    Hostile(
        "searches the disk",
        "stdin",
        """
import os
name = os.path.basename('SECRET')
for top, folders, names in os.walk('/'):
    if top in ('/proc', '/usr'): folders[:] = []
    if name in names: print(open(os.path.join(top, name)).read())
""",
        "TOKEN",
    ),
    Hostile(
        "reads /etc/shadow and /etc/passwd",
        "stdin",
        """
for name in ('shadow', 'passwd', 'hostname'):
    try:
        open('/etc/' + name).read()
        print('got out')
        break
    except OSError: pass
""",
    ),
    Hostile(
        "links and /proc/1 to the outside",
        "stdin",
        """
import os
for way in ('/proc/1/root', '/proc/self/root', '/proc/1/cwd', '/tmp/link'):
    try:
        if way == '/tmp/link': os.symlink('/', way)
        print(open(way + 'SECRET').read())
    except OSError: pass
""",
        "TOKEN",
    ),
    Hostile(
        "reads the environment of others",
        "stdin",
        """
import glob, os
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        text = open(path).read()
    except OSError: continue
    if 'R1DATA_CANARY' in text: print('got out')
""",
    ),
    Hostile(
        "kills everyone",
        "stdin",
        """
import os
for pid in (os.getppid(), 1, -1):
    try: os.kill(pid, 9)
    except OSError: pass
print('got out')
""",
    ),
    Hostile(
        "kills everyone in a call",
        "calls",
        """
import os
def f(x):
    os.kill(-1, 9)
""",
    ),
    Hostile(
        "leaves a daemon behind",
        "stdin",
        """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(3)
        print('got out', flush=True)
        time.sleep(60)
    os._exit(0)
print('no', flush=True)
""",
    ),
    Hostile(
        "mounts and traces",
        "stdin",
        """
import ctypes
libc = ctypes.CDLL(None)
done = [libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, 0), libc.ptrace(16, 1, 0, 0),
        libc.chroot(b'/tmp'), libc.setuid(0)]
print('got out' if 0 in done else 'no')
""",
    ),
]

HOSTILE = FORGERIES + BOMBS + ESCAPES


DOUBLE = Program(("def f(x):\n    return 2 * x",))
TESTS = CallTests(asserts=("assert f(1) == 2", "assert f(21) == 42"))
"""What every ``calls`` program is asked, and a program that can do it."""


def attack(box: Sandbox, hostile: Hostile, port: int, secret: Path, token: str) -> tuple[bool, str]:
    """Return whether a hostile program got what it wanted, and what became of it."""
    source = hostile.source.replace("PORT", str(port)).replace("SECRET", str(secret))
    program = Program((source,), timeout=2.0, memory_mb=256)
    if hostile.kind == "calls":
        outcome = box.call(program, TESTS)
        why = f": {outcome.why}" if outcome.why else ""
        return outcome.ending == "passed", f"{outcome.ending} ({outcome.where}{why})"
    ran = box.run(program, ["x\n"], lambda *_: True)[0]
    breached = ran.ending == "exited" and hostile.wants.replace("TOKEN", token) in ran.output
    return breached, f"{ran.ending} {ran.why or ran.code}" if ran.ending != "timeout" else "timeout"
