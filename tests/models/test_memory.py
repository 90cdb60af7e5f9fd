"""Freed memory goes back to the system."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

CHURN = """
import resource, sys, torch
from palpate.models.memory import return_large_arrays

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6

if sys.argv[1] == "returned":
    return_large_arrays()
torch.ones(5_000_000)  # freed at once: from now on glibc would keep arrays of up to 20 MB
many = [torch.ones(1_000_000) for _ in range(60)]
full = resident()
last = many[-1]
del many
print(full - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or not Path("/proc/self/statm").exists(), reason="glibc on Linux")
def test_large_arrays_are_given_back_although_a_later_one_is_in_use():
    kept, returned = (
        float(subprocess.run([sys.executable, "-c", CHURN, how], check=True, capture_output=True, text=True).stdout)
        for how in ("kept", "returned")
    )
    assert returned > 220  # of 59 arrays of 4 MB
    assert kept < 100


REUSE = """
import resource, torch
from palpate.models.memory import keep_large_arrays, return_large_arrays

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        torch.ones(1_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

return_large_arrays()
torch.ones(1_000_000)
returned = new_pages()
with keep_large_arrays():
    torch.ones(1_000_000)
    kept = new_pages()
print(kept, returned, new_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc on Linux")
def test_training_uses_the_pages_of_freed_arrays_again():
    answer = subprocess.run([sys.executable, "-c", REUSE], check=True, capture_output=True, text=True).stdout
    kept, returned, after = map(int, answer.split())
    assert kept < returned / 10
    assert min(returned, after) > 300  # for 200 arrays of 4 MB
