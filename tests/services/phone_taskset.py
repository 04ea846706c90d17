"""The emulated phone's taskset: MASK ./benchmark.out ARGUMENTS; what Android would say if not.

The folder in $PHONE holds what the phone is (`machine`), whose MNN is asked (`socket`), and the
faults: `hang` (seconds), `garble`. Each mask is noted in `masks`. Uses no package: it starts fast.
"""

import json
import os
import socket
import struct
import sys
import time
from pathlib import Path

ENDED = b"\0ended "
STATE = Path(os.environ["PHONE"])


def note(name: str) -> str:
    """Return the text of one file of the phone's state, "" where there is none."""
    path = STATE / name
    return path.read_text().strip() if path.exists() else ""


def leave(words: str, status: int) -> None:
    """Say something and end."""
    print(words, flush=True)
    sys.exit(status)


def check_program(program: str) -> None:
    """End as Android does where the program is missing, of another machine, or cannot be linked."""
    if not os.access(program, os.X_OK):
        leave(f"taskset: exec {program}: No such file or directory", 127)
    with Path(program).open("rb") as file:
        header = file.read(20)
    if header[:4] != b"\x7fELF" or str(struct.unpack("<H", header[18:20])[0]) not in note(
        "machine"
    ):
        leave(f"taskset: exec {program}: Exec format error", 126)
    if os.environ.get("LD_LIBRARY_PATH") != "." or not Path("libMNN.so").exists():
        words = f'CANNOT LINK EXECUTABLE "{program}": library "libMNN.so" not found'
        leave(f"{words}: needed by main executable", 1)


def answer(arguments: list[str]) -> bytes:
    """Return all that the benchmark says."""
    conn = socket.socket(socket.AF_UNIX)
    conn.connect(note("socket"))
    call = {"folder": str(Path.cwd()), "arguments": arguments}
    conn.sendall(json.dumps(call).encode() + b"\n")
    heard = b""
    while part := conn.recv(65536):
        heard += part
    return heard


def main(mask: str, program: str, *arguments: str) -> int:
    """Note the mask, and run the program; return its status, or die as it did."""
    with (STATE / "masks").open("a") as file:
        file.write(f"{mask}\n")
    check_program(program)
    if note("hang") and arguments:
        print("MNN benchmark", flush=True)
        time.sleep(float(note("hang")))
    words, _, status = answer(list(arguments)).rpartition(ENDED)
    if note("garble"):
        words = words.replace(b"avg =", b"av\xff\xfe")
    sys.stdout.buffer.write(words)
    sys.stdout.flush()
    if int(status) < 0:
        os.kill(os.getpid(), -int(status))
    return int(status)


sys.exit(main(*sys.argv[1:]))
