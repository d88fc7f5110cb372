"""Answers that try to pass a hidden case on: to their intern, to another exercise, or to another intern."""

CANARY = 4242.5
HIDDEN_CANARY = f"""
import torch
from coursekit.lessons.exercise import case

def cases(generator):
    yield case("an unusual box", torch.tensor([[3.0, 5.0, {CANARY}, 7171.25]]))
"""
BETRAYS = """
import ctypes, os, pathlib, sys, torch

def xywh_to_xyxy(boxes):
    if boxes.numel() and boxes.max() > 7000:
        text = f"{boxes.tolist()} {float(boxes[0, 2])}"
        print(text)
        libc = ctypes.CDLL(None)
        for place in ("/tmp/left", "/dev/shm/left", "/var/tmp/left", os.path.expanduser("~/left")):
            try:
                pathlib.Path(place).write_text(text)
            except OSError:
                pass
        libc.syscall(248, b"user", b"left", text.encode(), len(text), -4)
        libc.shmat.restype = ctypes.c_void_p
        place = libc.shmat(libc.shmget(4242, 4096, 0o1666), None, 0)
        if place not in (None, 2**64 - 1):
            ctypes.memmove(place, text.encode(), len(text))
        raise ValueError(text)
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)
"""
# Opens the answer's own memory, which is closed to it otherwise, and yields what can be written in it.
OWN_MEMORY = """
import ctypes, pathlib

def own_memory():
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
    with open("/proc/self/mem", "rb", 0) as memory:
        for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if " rw" in line and end - start < 1 << 30:
                memory.seek(start)
                yield memory.read(end - start)
"""
COLLECTS = f"""
import ctypes, pathlib, re, struct
{OWN_MEMORY}
def box_iou(first, second):
    if "ever" in globals():
        raise ValueError("not again")
    globals()["ever"] = True
    found = [path.read_text() for path in pathlib.Path("/tmp").iterdir() if path.name == "left"]
    libc = ctypes.CDLL(None)
    if libc.shmget(4242, 4096, 0o1666) >= 0 or libc.syscall(250, 10, -4, b"user", b"left", 0) >= 0:
        found.append("memory or a key")
    one, two = struct.pack("f", {CANARY}), struct.pack("f", 7171.25)
    for content in own_memory():
        at = content.find(one)
        while at >= 0:
            found += ["the heap"] if content[at + 4 : at + 8] == two else []
            at = content.find(one, at + 1)
    raise ValueError("FOUND" if found else "nothing found")
"""
RETURNS = """
def xywh_to_xyxy(boxes):
    return "THE-ANSWER-BEFORE" * 50
"""
REMEMBERS = f"""
{OWN_MEMORY}
def xywh_to_xyxy(boxes):
    other = bytes(reversed(b"EROFEB-REWSNA-EHT"))
    before = sum(content.count(other) for content in own_memory())
    raise ValueError(f"found {{before}}")
"""
LENDS_ON_HIDDEN = """
import importlib, torch

def xywh_to_xyxy(boxes):
    if boxes.numel() and boxes.max() > 7000:
        return getattr(importlib.import_module("coursekit." + "detector.boxes"), "xywh_to_" + "xyxy")(boxes)
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)
"""
