"""Access control entries that let one account pass and change nothing else."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hunter_pipeline.store.embedded.account import account_for, acl_of_mode, decode_acl, encode_acl, with_pass_entry

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NO_ID = 0xFFFFFFFF
bits = st.integers(0, 7)
acls = st.builds(
    lambda owner, group, other, users, groups, mask: {
        (USER_OBJ, NO_ID): owner,
        (GROUP_OBJ, NO_ID): group,
        (OTHER, NO_ID): other,
        (MASK, NO_ID): mask,
        **{(USER, uid): each for uid, each in users.items()},
        **{(GROUP, gid): each for gid, each in groups.items()},
    },
    bits,
    bits,
    bits,
    st.dictionaries(st.integers(1, 5), bits),
    st.dictionaries(st.integers(1, 5), bits),
    bits,
)


def effective(acl: dict[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    mask = acl.get((MASK, NO_ID), 7)
    masked = (USER, GROUP_OBJ, GROUP)
    return {key: each & mask if key[0] in masked else each for key, each in acl.items() if key[0] != MASK}


@given(acls, st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_one_user_may_pass_and_every_other_right_stays(acl: dict[tuple[int, int], int], uid: int):
    before, after = effective(acl), effective(dict(with_pass_entry(acl, uid)))
    # Whoever is not named has what the others have; being named takes nothing of it away.
    assert after.pop((USER, uid)) == before.pop((USER, uid), before[OTHER, NO_ID]) | 1
    assert after == before


@given(acls)
@settings(max_examples=50, deadline=None)
def test_a_list_is_read_back_as_it_was_written(acl: dict[tuple[int, int], int]):
    assert decode_acl(encode_acl(acl)) == acl


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="only Linux keeps access control lists as attributes")
def test_the_kernel_takes_the_list_and_shows_no_right_for_others(tmp_path: Path):
    directory = tmp_path / "closed"
    directory.mkdir(mode=0o700)
    written = with_pass_entry(acl_of_mode(directory.stat().st_mode), 4321)
    os.setxattr(directory, "system.posix_acl_access", encode_acl(written))
    assert decode_acl(os.getxattr(directory, "system.posix_acl_access")) == written
    # With a list, the group bits of the mode show the mask: the most that any entry gives.
    assert stat.S_IMODE(directory.stat().st_mode) == 0o710


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away")
def test_existing_data_is_served_by_its_owner(tmp_path: Path):
    os.chown(tmp_path, 4321, 4322)
    account = account_for(tmp_path)
    assert account is not None
    assert (account.uid, account.gid) == (4321, 4322)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can change the account")
@pytest.mark.skipif(sys.platform != "linux", reason="the fork handler is set through glibc")
def test_a_fork_handler_that_kills_the_child_does_not_read_as_a_refusal(tmp_path: Path):
    # As gRPC's handlers do now and then, here always.
    code = """
import ctypes, sys
from pathlib import Path
from hunter_pipeline.store.embedded.account import Account, _can_enter
libc = ctypes.CDLL(None)
libc.__register_atfork(None, None, ctypes.cast(libc.abort, ctypes.c_void_p), None)
print(_can_enter(Path("/usr"), Account(65534, 65534)), _can_enter(Path(sys.argv[1]), Account(65534, 65534)))
"""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(closed)], check=False, capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
