"""Which files are meant: patterns as people write them, and pruning that never hides a file that is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.decide.select import Selection

DEFAULT = Selection()


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        (b"a.mp4", True),
        (b"sub/deep/a.mp4", True),
        (b"\xff\xfe.mp4", True),
        (b"line\nbreak.mp4", True),
        (b".hidden", False),
        (b".hidden/a.mp4", False),
        (b"sub/.cache/deep/a.mp4", False),
        (b"a.tmp", False),
        (b"a.tmp/b.mp4", False),
        (b"a.mp4.part", False),
        (b"a.partial", False),
        (b"a.mp4~", False),
        (b"\xff.tmp", False),
        (b"a\n.tmp", False),
        (b"a.TMP", True),
        (b"a.tmpx", True),
        (b"tmp", True),
        (b"a.part.mp4", True),
        (b"a.hidden", True),
    ],
)
def test_by_default_all_but_hidden_and_unfinished_files(path: bytes, taken: bool) -> None:
    assert DEFAULT.takes(path) is taken


CASES = [
    # pattern, paths that match, paths that do not
    ("*.mp4", [b"a.mp4", b"sub/a.mp4", b".mp4", b"\xff.mp4"], [b"a.mp4.x", b"amp4", b"a.mp4/x"]),
    ("**", [b"a", b"a/b/c", b"\n", b"\xff/\xfe"], []),
    (
        "clip?.mp4",
        [b"clip1.mp4", b"x/clip2.mp4", b"clip\xff.mp4", "clipé.mp4".encode()],
        [b"clip.mp4", b"clip12.mp4"],
    ),
    ("sub/**", [b"sub/a", b"sub/a/b", b"sub/.x"], [b"a", b"other/sub/a", b"subway/a"]),
    (
        "**/x/*.mp4",
        [b"x/a.mp4", b"1/x/a.mp4", b"1/2/x/a.mp4"],
        [b"a.mp4", b"x/1/a.mp4", b"xx/a.mp4", b"x/a.mp4/b"],
    ),
    ("a/**/b", [b"a/b", b"a/1/b", b"a/1/2/b"], [b"ab", b"a/1/bb", b"1/a/b"]),
    ("sub/*", [b"sub/a"], [b"a", b"sub/a/b", b"1/sub/a"]),
    ("sub/a.mp4", [b"sub/a.mp4"], [b"1/sub/a.mp4", b"sub/aXmp4"]),
    ("*/a", [b"1/a"], [b"a", b"1/2/a"]),
    ("[abc]*", [b"apple", b"x/berry"], [b"date", b"Apple"]),
    ("[a-c][0-9]", [b"a1", b"c9"], [b"d1", b"a", b"a10"]),
    ("[!a]*", [b"berry", b"\xff"], [b"apple"]),
    ("[^a]*", [b"berry"], [b"apple"]),
    ("[]]", [b"]"], [b"["]),
    ("[!]]", [b"["], [b"]"]),
    ("[\\]", [b"\\"], [b"a"]),
    ("[[]", [b"["], [b"]"]),
    ("a[", [b"a["], [b"a"]),
    ("[", [b"["], [b"a"]),
    ("d/[!x]/a", [b"d/y/a"], [b"d/x/a", b"d///a"]),
    ("d[+-9]a", [b"d5a"], [b"d/a"]),  # the range goes over the slash
    ("a.b", [b"a.b"], [b"axb"]),
    ("a+(b)|c$", [b"a+(b)|c$"], [b"aab", b"c"]),
    ("é*", ["é".encode(), "éa".encode()], [b"e", b"\xe9"]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), CASES, ids=[case[0] for case in CASES])
def test_include_patterns(pattern: str, yes: list[bytes], no: list[bytes]) -> None:
    selection = Selection(include=(pattern,), exclude=())
    assert [path for path in yes if not selection.takes(path)] == []
    assert [path for path in no if selection.takes(path)] == []
    assert all(selection.exclusion(path) == "no include pattern matches" for path in no)


@pytest.mark.parametrize(
    ("pattern", "hidden", "seen"),
    [
        ("tmp", [b"tmp", b"tmp/a", b"a/tmp/b/c"], [b"tmpx", b"a/xtmp"]),
        ("sub/**", [b"sub/a", b"sub/b/c"], [b"other/sub/a", b"subway"]),
        ("sub/*", [b"sub/a", b"sub/dir/deep"], [b"a"]),
        ("**/raw/**", [b"raw/a", b"1/raw/b/c"], [b"draw/a", b"1/raws/b"]),
        ("a/b", [b"a/b", b"a/b/c"], [b"a/bc", b"1/a/b"]),
        ("*.d/keep?", [b"x.d/keep1", b"x.d/keep1/a"], [b"x.d/keep", b"keep1"]),
    ],
)
def test_an_excluded_directory_hides_all_below_it(
    pattern: str, hidden: list[bytes], seen: list[bytes]
) -> None:
    selection = Selection(exclude=(pattern,))
    assert [path for path in hidden if selection.takes(path)] == []
    assert [path for path in seen if not selection.takes(path)] == []
    assert {selection.exclusion(path) for path in hidden} == {f"the exclude pattern {pattern!r} matches"}


def test_an_exclude_wins_over_an_include() -> None:
    selection = Selection(include=("*.mp4",), exclude=("bad*",))
    assert [selection.takes(path) for path in (b"good.mp4", b"bad.mp4", b"bad/good.mp4")] == [
        True,
        False,
        False,
    ]


def test_a_folder_that_is_not_recursive_means_its_own_files_only() -> None:
    selection = Selection(recursive=False)
    assert selection.takes(b"a.mp4")
    assert selection.exclusion(b"sub/a.mp4") == "it lies in a subdirectory and the folder is not recursive"
    assert not selection.descends(b"sub")


@pytest.mark.parametrize(
    ("directory", "entered"),
    [
        (b"sub", True),
        (b".git", False),
        (b"a/.git", False),
        (b"sub/deep", True),
        (b"x.tmp", False),
        (b"\xff", True),
    ],
)
def test_only_directories_that_can_hold_a_file_are_entered(directory: bytes, entered: bool) -> None:
    assert DEFAULT.descends(directory) is entered


components = st.sampled_from([b"a", b"b", b"ab", b".a", b"a.tmp", b"x.mp4", b"\xff"])
relative = st.lists(components, min_size=1, max_size=5).map(b"/".join)
patterns = st.one_of(
    st.sampled_from([case[0] for case in CASES]),
    st.lists(
        st.sampled_from(["a", "b", "*", "**", "?", ".*", "*.tmp", "*.mp4", "[ab]", "[!a]"]),
        min_size=1,
        max_size=4,
    ).map("/".join),
)
selections = st.builds(
    Selection,
    include=st.lists(patterns, min_size=1, max_size=3).map(tuple),
    exclude=st.lists(patterns, max_size=3).map(tuple),
    recursive=st.booleans(),
)


@given(selections, relative)
def test_no_file_that_is_meant_lies_in_a_directory_that_is_not_entered(
    selection: Selection, path: bytes
) -> None:
    above = path.split(b"/")[:-1]
    entered = all(selection.descends(b"/".join(above[: depth + 1])) for depth in range(len(above)))
    assert entered or not selection.takes(path)


@given(selections, relative)
def test_a_file_is_meant_if_there_is_no_reason_against_it(selection: Selection, path: bytes) -> None:
    assert selection.takes(path) is (selection.exclusion(path) is None)


@given(selections, relative, components)
def test_a_file_below_a_file_that_is_excluded_is_excluded_too(
    selection: Selection, path: bytes, name: bytes
) -> None:
    reason = selection.exclusion(path)
    if reason is not None and "exclude" in reason:
        assert not selection.takes(path + b"/" + name)
