"""Every rule of the model and between keys, each broken once: the place, the key, what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pydantic
import pytest

from syncd.config import Config

Problems = Callable[..., list[str]]
Written = Callable[[dict[str, str]], str]

TEXT = [
    "device",
    "credentials.api.url",
    "credentials.api.token_file",
    "credentials.api.ca_file",
    "credentials.api.client_cert",
    "credentials.api.client_key",
    "credentials.chain.profile",
    "destination.bucket",
    "destination.prefix",
    "destination.region",
    "destination.endpoint_url",
    "destination.ca_file",
    "destination.proxy",
    "destination.expected_bucket_owner",
    "destination.storage_class",
    "destination.content_type",
    "destination.kms_key_id",
    "folders[0].path",
    "folders[0].name",
    "folders[0].key",
    "folders[0].complete_when.marker",
    "folders[0].after_upload.move.to",
    "state",
    "console.socket",
    "console.listen",
]
MEASURES = [
    "credentials.api.timeout",
    "credentials.api.renew_before",
    "folders[0].complete_when.quiet",
    "folders[0].after_upload.delete.min_age",
    "folders[0].after_upload.move.min_age",
    "folders[0].rescan",
    "upload.part_size",
    "upload.multipart_threshold",
    "upload.memory",
    "upload.max_rate",
    "upload.connect_timeout",
    "upload.read_timeout",
    "retention",
]
CHOICES = [
    "destination.addressing_style",
    "destination.checksum",
    "destination.if_exists",
    "destination.server_side_encryption",
    "folders[0].complete_when.not_open",
    "folders[0].watch",
    "log.level",
    "log.format",
]
COUNTS = ["folders[0].priority", "upload.files", "upload.parts"]
FLAGS = ["folders[0].recursive", "folders[0].require_mount"]
MAPS = ["destination.metadata", "destination.tags"]
LISTS = ["folders[0].include", "folders[0].exclude"]


def leaves(model: type[pydantic.BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)
        ]
        place = above + name + ("[0]" if name == "folders" else "")
        if inner:
            yield from leaves(inner[0], place + ".")
        else:
            yield place


def test_these_lists_name_every_key_there_is() -> None:
    assert sorted([*TEXT, *MEASURES, *CHOICES, *COUNTS, *FLAGS, *LISTS, *MAPS]) == sorted(leaves(Config))


def complaint(problems: list[str], key: str) -> str:
    """The one sentence about the key, which must be the only mistake."""
    (problem,) = problems
    where, found, text = problem.split(": ", 2)
    assert found == key
    assert where.split(":")[0] == "config.yaml"
    assert all(int(number) > 0 for number in where.split(":")[1:])
    return text


@pytest.mark.parametrize("key", TEXT)
@pytest.mark.parametrize(
    "raw", ["no", "010", "7", "12:30", "1.10", "2026-01-28", "true", "Off", "0x1F", "=", ".inf"]
)
def test_where_text_is_meant_a_word_that_yaml_reads_otherwise_is_refused(
    problems: Problems, written: Written, key: str, raw: str
) -> None:
    text = complaint(problems(written({key: raw})), key)
    assert text.startswith("is a YAML ")
    assert text.endswith("expected text: put it in quotes")


def test_nobody_is_told_to_put_a_mapping_in_quotes(problems: Problems, written: Written) -> None:
    assert complaint(problems(written({"device": "{a: b}"})), "device") == "is a mapping, expected text"


@pytest.mark.parametrize("template", ["{prefix}{device}/../{path}", "{prefix}{device}//{path}", "/{path}"])
def test_a_template_whose_every_key_is_refused_is_a_mistake(
    problems: Problems, written: Written, template: str
) -> None:
    text = complaint(problems(written({"folders[0].key": f'"{template}"'})), "folders[0].key")
    assert text.startswith("makes keys that are refused: ")


@pytest.mark.parametrize("key", [*TEXT, *CHOICES, *MEASURES, *COUNTS, *FLAGS])
@pytest.mark.parametrize(("raw", "what"), [("{a: b}", "is a mapping"), ("[a]", "is a list")])
def test_a_list_or_mapping_in_place_of_a_value_is_refused(
    problems: Problems, written: Written, key: str, raw: str, what: str
) -> None:
    assert complaint(problems(written({key: raw})), key).startswith(f"{what}, expected ")


@pytest.mark.parametrize(
    "key",
    [
        *(key for key in MEASURES if key != "upload.max_rate"),  # there it stands for no limit
        *(key for key in CHOICES if key != "destination.server_side_encryption"),  # the bucket's default
        *(
            *COUNTS,
            *FLAGS,
            *LISTS,
            *MAPS,
            "credentials.api.url",
            "folders[0].key",
            "destination.content_type",
        ),
    ],
)
def test_null_is_refused_where_it_would_stand_for_nothing(
    problems: Problems, written: Written, key: str
) -> None:
    assert complaint(problems(written({key: "null"})), key).startswith("is empty (null), expected ")


@pytest.mark.parametrize("key", MEASURES)
@pytest.mark.parametrize("raw", ["10", "0", "010", "12:30", "1.5"])
def test_a_measure_without_a_unit_is_refused(
    problems: Problems, written: Written, key: str, raw: str
) -> None:
    assert "without a unit, expected a" in complaint(problems(written({key: raw})), key)


@pytest.mark.parametrize("key", MEASURES)
@pytest.mark.parametrize("raw", ["true", "fast", '"10"', "10 parsecs"])
def test_a_measure_that_is_none_is_refused(problems: Problems, written: Written, key: str, raw: str) -> None:
    assert "expected " in complaint(problems(written({key: raw})), key)


@pytest.mark.parametrize("key", CHOICES)
@pytest.mark.parametrize("raw", ["maybe", "Auto", "true", "3", "yes"])
def test_a_choice_takes_only_its_words(problems: Problems, written: Written, key: str, raw: str) -> None:
    assert "expected one of " in complaint(problems(written({key: raw})), key)


def test_the_word_off_is_a_choice_only_where_it_is_one(
    read: Callable[..., Config], problems: Problems, written: Written
) -> None:
    key = "folders[0].complete_when.not_open"
    for raw in ("off", '"off"'):
        assert read(written({key: raw})).folders[0].complete_when.not_open == "off"
    for raw in ("false", "no", "Off", "OFF"):
        assert complaint(problems(written({key: raw})), key).endswith("expected one of auto, require, off")
    complaint(problems(written({"folders[0].watch": "off"})), "folders[0].watch")


@pytest.mark.parametrize("key", COUNTS)
@pytest.mark.parametrize(
    "raw", ["0", "65", "-1", "4.0", '"4"', "04", "0x4", "true", "four", "1_0", "9" * 5000]
)
def test_a_count_is_a_whole_number_within_bounds(
    problems: Problems, written: Written, key: str, raw: str
) -> None:
    bounds = "-100 to 100" if key.endswith("priority") else "1 to 64"
    if key.endswith("priority") and raw in {"0", "65", "-1"}:
        raw = {"0": "101", "65": "-101", "-1": "1000"}[raw]
    text = complaint(problems(written({key: raw})), key)
    assert text.endswith(f"expected a whole number from {bounds}")


@pytest.mark.parametrize("raw", ["yes", "no", "on", "True", "TRUE", '"true"', "1", "y"])
def test_only_true_and_false_are_booleans(problems: Problems, written: Written, raw: str) -> None:
    key = "folders[0].recursive"
    assert complaint(problems(written({key: raw})), key).endswith("expected true or false")


@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize("raw", ["'*.mp4'", "{a: b}", "7"])
def test_a_list_is_a_list(problems: Problems, written: Written, key: str, raw: str) -> None:
    assert complaint(problems(written({key: raw})), key).endswith("expected a list")


@pytest.mark.parametrize("key", MAPS)
@pytest.mark.parametrize("raw", ["lab", "[lab]", "7"])
def test_a_mapping_is_a_mapping(problems: Problems, written: Written, key: str, raw: str) -> None:
    assert "expected a mapping such as" in complaint(problems(written({key: raw})), key)


@pytest.mark.parametrize("key", MAPS)
@pytest.mark.parametrize("raw", ["7", "no", "2026-01-28", "[a]", "{a: b}", "null"])
def test_what_a_mapping_holds_is_text(problems: Problems, written: Written, key: str, raw: str) -> None:
    assert "expected text" in complaint(problems(written({key: f"{{lab: {raw}}}"})), f"{key}.lab")


@pytest.mark.parametrize("other", [{}, {"destination.server_side_encryption": "AES256"}])
def test_a_kms_key_needs_encryption_by_kms(
    read: Callable[..., Config], problems: Problems, written: Written, other: dict[str, str]
) -> None:
    key = {"destination.kms_key_id": "alias/captures"}
    text = complaint(problems(written(key | other)), "destination.kms_key_id")
    assert text == "encrypts nothing, expected server_side_encryption: aws:kms beside it"
    by_kms = {"destination.server_side_encryption": "aws:kms"}
    assert read(written(key | by_kms)).destination.kms_key_id == "alias/captures"


@pytest.mark.parametrize(("given", "other"), [("cert", "key"), ("key", "cert")])
def test_a_certificate_and_its_key_come_together(
    problems: Problems, written: Written, given: str, other: str
) -> None:
    key = f"credentials.api.client_{given}"
    text = complaint(problems(written({key: "/etc/syncd/client.pem"})), key)
    assert text == f"is of no use alone, expected client_{other} beside it"


def test_a_certificate_shows_nothing_over_http(problems: Problems, written: Written) -> None:
    both = {f"credentials.api.client_{name}": "/etc/syncd/client.pem" for name in ("cert", "key")}
    found = problems(written({"credentials.api.url": "http://localhost/c"} | both))
    assert complaint(found, "credentials.api.client_cert").startswith("is of no use over http")


API = "api: {url: 'https://a.example/c', token_file: /t}"


@pytest.mark.parametrize(
    ("credentials", "what"),
    [("{}", "has neither"), ("{api: }", "has neither"), (f"{{{API}, chain: {{}}}}", "has both")],
)
def test_credentials_come_from_one_source(problems: Problems, credentials: str, what: str) -> None:
    text = f"device: d\ncredentials: {credentials}\nfolders: [{{path: /a}}]\n"
    assert complaint(problems(text), "credentials").startswith(f"{what}, expected one of api")


def test_the_chain_needs_the_buckets_name(read: Callable[..., Config], problems: Problems) -> None:
    text = "device: d\ncredentials: {chain: {}}\nfolders: [{path: /a}]\n"
    assert complaint(problems(text), "destination.bucket").startswith("is missing, expected the bucket's ")
    config = read(text + "destination: {bucket: captures}\n")
    assert config.credentials.api is None
    assert config.credentials.chain is not None
    assert config.credentials.chain.profile is None


METADATA = {
    "{Lab: a}": "Lab",
    '{"lab 7": a}': "lab 7",
    '{"": a}': "''",
    "{syncd-upload: a}": "syncd-upload",
    '{lab: ""}': "lab",
    '{lab: " a"}': "lab",
    "{lab: grün}": "lab",
}


@pytest.mark.parametrize(("raw", "name"), METADATA.items())
def test_metadata_that_s3_would_refuse_or_that_is_ours_is_a_mistake_at_its_name(
    problems: Problems, written: Written, raw: str, name: str
) -> None:
    complaint(problems(written({"destination.metadata": raw})), f"destination.metadata.{name}")


@pytest.mark.parametrize(
    ("raw", "name"),
    {
        "{aws:x: a}": "aws:x",
        '{"": a}': "''",
        "{a&b: c}": "a&b",
        f"{{{'n' * 129}: v}}": "n" * 60 + "...",
        "{lab: a&b}": "lab",
        f"{{lab: {'v' * 257}}}": "lab",
    }.items(),
)
def test_a_tag_that_s3_would_refuse_is_a_mistake_at_its_name(
    problems: Problems, written: Written, raw: str, name: str
) -> None:
    complaint(problems(written({"destination.tags": raw})), f"destination.tags.{name}")


def test_there_are_ten_tags_at_most(
    read: Callable[..., Config], problems: Problems, written: Written
) -> None:
    tags = [f"t{number}: größe {number}" for number in range(11)]
    ten = {"destination.tags": f"{{{', '.join(tags[:10])}}}"}
    assert len(read(written(ten)).destination.tags) == 10
    eleven = {"destination.tags": f"{{{', '.join(tags)}}}"}
    assert complaint(problems(written(eleven)), "destination.tags") == "has 11 entries, expected at most 10"


def test_metadata_leaves_room_for_our_own(
    read: Callable[..., Config], problems: Problems, written: Written
) -> None:
    fits = {"destination.metadata": f"{{ab: {'x' * 1022}}}"}
    assert len(read(written(fits)).destination.metadata["ab"]) == 1022
    text = complaint(
        problems(written({"destination.metadata": f"{{ab: {'x' * 1023}}}"})), "destination.metadata"
    )
    assert text == "has 1025 bytes in all names and values, expected at most 1024"


@pytest.mark.parametrize("key", TEXT)
def test_no_text_holds_control_characters(problems: Problems, written: Written, key: str) -> None:
    text = complaint(problems(written({key: r'"https:\e[31m/a"'})), key)
    assert text == "holds a line break or another control character"


CASES = {
    "device": ['""', "-cam", ".cam", "cam 7", "cam/7", "kamera-ü", "c" * 59],
    "credentials.api.url": [
        '""',
        "uploads.example.com",
        "/v1/credentials",
        "ftp://example.com/",
        "https://",
        "https:///v1",
        "http://uploads.example.com/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://128.0.0.1/",
        "http://0.0.0.0/",
        "https://user:pw@example.com/",
        "https://user@example.com/",
        '"https://example.com/#x"',
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://exa mple.com/",
        "https://[::1/",
        "https://exämple.com/",
        r"https:\\example.com",
    ],
    "credentials.api.token_file": ['""', "token", "~/token", "./token", "/a/../b", r'"/a\0b"'],
    "credentials.api.timeout": ["0s", "36501d"],
    "credentials.api.renew_before": ["0s"],
    "destination.bucket": ["s3://b", "ab", "a/b", "bücket", "b" * 256, '"a b c"'],
    "destination.prefix": ["/a", "a//b", "a/../b", "./a", "//", "x" * 513],
    "destination.region": ["-eu", "eu_central", "eu central", "a" * 64],
    "destination.endpoint_url": [
        "s3.example.com",
        "https://k:s@example.com",
        "https://example.com?x=1",
        "file:///x",
    ],
    "credentials.chain.profile": ['""', '"[x]"', '" x"'],
    "destination.proxy": [
        '""',
        "proxy.example.com:3128",
        "socks5://proxy.example.com:1080",
        "http://proxy.example.com/path",
        "http://proxy.example.com?x=1",
        "http://u:hunter22@pro xy.example.com",
    ],
    "destination.expected_bucket_owner": ['""', '"12345678901"', '"1234-5678-9012"', '"1234567890123"'],
    "destination.storage_class": ['""', '"7"', "STANDARD IA", "-IA"],
    "destination.content_type": ['""', "video", "video/", "/mp4", "vidéo/mp4", "video/mp4 x", "Auto"],
    "destination.kms_key_id": ['""', '"a key"', "schlüssel"],
    "folders[0].path": ['""', "srv/capture", "~/x", "/srv/../x"],
    "folders[0].name": ['""', "a/b", ".", '".."'],
    "folders[0].include": ["[]", '[""]', '["/a"]', '["a/"]', '["a//b"]', '["../x"]', '["[z-a]"]', "[7]"],
    "folders[0].exclude": ['["/a"]', '["./a"]', "[no]"],
    "folders[0].key": ['""', '"{nope}"', '"{path"', '"{mtime}"', '"{path!r}"'],
    "folders[0].complete_when.marker": [
        '""',
        '"{name}"',
        '"{stem}{suffix}"',
        '"x/{name}"',
        '"{path}.done"',
        '"{name"',
        '"{{name}}"',
        ".",
        '".."',
    ],
    "folders[0].rescan": ["999ms", "0s"],
    "upload.part_size": ["1MiB", "5242879B", "6GiB"],
    "upload.multipart_threshold": ["0B", "6GiB"],
    "upload.memory": ["1B", "3MiB"],
    "upload.connect_timeout": ["0s"],
    "upload.read_timeout": ["0s"],
    "state": ["state.db"],
    "console.socket": ["control.sock"],
    "console.listen": [
        *(
            "0.0.0.0:8384",
            "192.168.1.5:8384",
            '"[::]:8384"',
            '"[fe80::1]:8384"',
            "example.com:8384",
            "localhost.evil.com:80",
        ),
        *(
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.256:80",
            "127.1:8384",
            ":8384",
            "http://127.0.0.1:8384",
        ),
    ],
}


@pytest.mark.parametrize(("key", "raw"), [(key, raw) for key, raws in CASES.items() for raw in raws])
def test_an_impossible_value_is_refused_at_its_key_and_not_shown(
    problems: Problems, written: Written, key: str, raw: str
) -> None:
    (problem,) = problems(written({key: raw}))
    assert f": {key}" in problem
    value = raw.strip('[]"')
    assert len(value) < 10 or value not in problem


def test_credentials_in_a_url_are_named_as_such(problems: Problems, written: Written) -> None:
    text = complaint(
        problems(written({"credentials.api.url": "https://u:hunter2@example.com"})), "credentials.api.url"
    )
    assert text == "holds a user name or password, expected a URL without"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9:80", "[::1]:8080"])
def test_http_is_fine_to_this_machine_itself(
    read: Callable[..., Config], written: Written, host: str
) -> None:
    url = f"http://{host}/c"
    assert read(written({"credentials.api.url": f'"{url}"'})).credentials.api.url == url


@pytest.mark.parametrize("raw", ['""', "a", "a/", "cam-07/x-", '"{device}/"'])
def test_a_prefix_is_used_as_it_is(read: Callable[..., Config], written: Written, raw: str) -> None:
    assert read(written({"destination.prefix": raw})).destination.prefix == raw.strip('"')


FOLDERS = """\
device: cam-07
credentials: {api: {url: https://example.com, token_file: /t}}
folders:
"""


def test_equal_and_nested_folders_are_refused_each_at_its_path(problems: Problems) -> None:
    paths = ["/srv/a/b", "/srv/a", "/srv/ab", "/srv//a/./b/", "/srv/a/c/d"]
    text = FOLDERS + "".join(f"  - {{name: n{index}, path: {path}}}\n" for index, path in enumerate(paths))
    assert problems(text) == [
        "config.yaml:4:16: folders[0].path: lies inside folders[1].path, expected folders that are apart",
        "config.yaml:7:16: folders[3].path: lies inside folders[1].path, expected folders that are apart",
        "config.yaml:8:16: folders[4].path: lies inside folders[1].path, expected folders that are apart",
    ]
    twice = FOLDERS + "  - path: /srv/a\n  - path: /srv/a/\n    name: b\n"
    assert problems(twice) == [
        "config.yaml:5:5: folders[1].path: is the same folder as folders[0].path, expected each once"
    ]


def test_folders_are_apart_also_through_symlinks(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real/below")
    text = FOLDERS + f"  - path: {tmp_path}/real\n  - path: {tmp_path}/link\n"
    (problem,) = problems(text)
    assert problem.startswith(
        "config.yaml:5:5: folders[1].path: lies inside folders[0].path (through a symlink), "
    )


def test_names_are_unique_also_those_that_come_from_the_path(problems: Problems) -> None:
    text = FOLDERS + "  - path: /a/x\n  - path: /b/x\n  - {path: /c, name: x}\n"
    assert [problem.split(", ")[0] for problem in problems(text)] == [
        "config.yaml:5:5: folders[1].name: is the same as that of folders[0]",
        "config.yaml:6:16: folders[2].name: is the same as that of folders[0]",
    ]


def test_the_root_directory_needs_a_name(read: Callable[..., Config], problems: Problems) -> None:
    (problem,) = problems(FOLDERS + "  - path: /\n")
    assert "folders[0].name: is missing, and path has no last part" in problem
    assert read(FOLDERS + "  - {path: /, name: all}\n").folders[0].path == Path("/")


def test_memory_must_hold_one_block_of_each_part(
    problems: Problems, read: Callable[..., Config], written: Written
) -> None:
    tight = {"upload.parts": "8", "upload.memory": "8MiB"}
    assert read(written(tight)).upload.parts == 8
    text = complaint(problems(written(tight | {"upload.parts": "9"})), "upload.memory")
    assert text.startswith("is too small for upload.parts, expected at least 9MiB")


def test_a_missing_key_points_at_the_section_that_lacks_it(problems: Problems) -> None:
    text = "device: d\ncredentials:\n  api:\n    token_file: /t\nfolders:\n  - name: x\n"
    assert problems(text) == [
        "config.yaml:3:3: credentials.api.url: is missing, expected it here: it has no default",
        "config.yaml:6:5: folders[0].path: is missing, expected it here: it has no default",
    ]


@pytest.mark.parametrize("content", ["", "\n", "# nothing\n", "---\n", "null\n", "{}", "\ufeff"])
def test_an_empty_file_says_what_the_least_is(problems: Problems, content: str) -> None:
    assert problems(content) == [
        "config.yaml:1:1: credentials: is missing, expected it here: it has no default",
        "config.yaml:1:1: folders: is missing, expected it here: it has no default",
    ]


@pytest.mark.parametrize("content", ["- a\n", "cam-07\n", "7\n", "[{}]\n"])
def test_a_file_that_is_no_mapping_says_so(problems: Problems, content: str) -> None:
    (problem,) = problems(content)
    assert problem.startswith("config.yaml:1:1: YAML: is no mapping, expected keys such as")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("devise: x", "devise: unknown key, did you mean device?"),
        ("bucket: x", "bucket: unknown key here, did you mean destination.bucket?"),
        (
            "ca_file: x",
            "ca_file: unknown key here, did you mean credentials.api.ca_file or destination.ca_file?",
        ),
        (
            "colour: blue",
            "colour: unknown key, expected one of device, credentials, destination, folders, upload",
        ),
        (r'"\e[2Jx": 1', r"'\x1b[2Jx': unknown key, expected one of"),
        ("x" * 100 + ": 1", "x" * 60 + "...: unknown key"),
        ("log: {levl: info}", "log.levl: unknown key, did you mean level?"),
        ("destination: {sse: x}", "destination.sse: unknown key, expected one of bucket, prefix"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(
    problems: Problems, written: Written, line: str, problem: str
) -> None:
    (found,) = problems(written({}) + line + "\n")
    assert f": {problem}" in found


@pytest.mark.parametrize(
    "section", ["log", "upload", "console", "destination", "credentials", "folders[0].complete_when"]
)
@pytest.mark.parametrize("raw", ["", "7", "text", "[]"])
def test_a_section_holds_keys(problems: Problems, written: Written, section: str, raw: str) -> None:
    text = written({}) + f"{section}: {raw}\n"
    if "." in section:
        text = written({section: raw})
    elif section == "credentials":
        text = f"folders: [{{path: /a}}]\ncredentials: {raw}\n"
    assert ", expected keys below it: " in complaint(problems(text), section)


def test_no_folders_are_refused(problems: Problems) -> None:
    text = FOLDERS.replace("folders:\n", "")
    assert (
        complaint(problems(text + "folders: []\n"), "folders")
        == "is an empty list, expected at least one entry"
    )
    assert complaint(problems(text + "folders:\n"), "folders") == "is empty (null), expected a list"
    assert complaint(problems(text + "folders: {path: /a}\n"), "folders") == "is a mapping, expected a list"


def test_all_mistakes_come_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    text = """\
devise: cam
credentials:
  api:
    url: http://example.com/
    url: https://example.com/
    token_file: *secret
destination: {checksum: crc16}
folders:
  - path: /srv/a
    recursive: yes
  - path: /srv/a/b
    rescan: 10
upload: {parts: 64, memory: 2MiB, part_size: 1}
"""
    assert [problem.split(": ")[:2] for problem in problems(text)] == [
        ["config.yaml:1:1", "devise"],
        ["config.yaml:4:5", "credentials.api.url"],
        ["config.yaml:5:5", "credentials.api.url"],
        ["config.yaml:6:17", "credentials.api.token_file"],
        ["config.yaml:7:15", "destination.checksum"],
        ["config.yaml:10:5", "folders[0].recursive"],
        ["config.yaml:11:5", "folders[1].path"],
        ["config.yaml:12:5", "folders[1].rescan"],
        ["config.yaml:13:21", "upload.memory"],
        ["config.yaml:13:35", "upload.part_size"],
    ]


@pytest.mark.parametrize(
    "raw",
    [
        *("no", "Keep", "7", "[]", "{}", "{delete: {}, move: {to: /srv/sent}}", "{delet: {}}", "null"),
        "{move: null}",
    ],
)
def test_what_becomes_of_the_file_is_one_of_three_things(
    problems: Problems, written: Written, raw: str
) -> None:
    text = complaint(problems(written({"folders[0].after_upload": raw})), "folders[0].after_upload")
    assert "expected keep, delete, {delete: {min_age: 1d}} or {move: {to: DIR}}" in text


def test_a_move_needs_to_know_where_to(problems: Problems, written: Written) -> None:
    text = complaint(
        problems(written({"folders[0].after_upload": "{move: {min_age: 1h}}"})),
        "folders[0].after_upload.move.to",
    )
    assert "missing" in text


@pytest.mark.parametrize("target", ["/srv/capture", "/srv/capture/sent"])
def test_a_move_into_a_watched_folder_is_refused(problems: Problems, written: Written, target: str) -> None:
    found = problems(written({"folders[0].after_upload": f"{{move: {{to: {target}}}}}"}))
    assert "outside all watched folders" in complaint(found, "folders[0].after_upload.move.to")


@pytest.mark.parametrize("raw", ["2MB", "2MB/m", "2 MB per s", "2MBps"])
def test_a_rate_is_a_size_per_second(problems: Problems, written: Written, raw: str) -> None:
    text = complaint(problems(written({"upload.max_rate": raw})), "upload.max_rate")
    assert "expected a rate with a unit, such as 2MB/s" in text


def test_a_rate_that_moves_nothing_is_refused(problems: Problems, written: Written) -> None:
    assert "at least 1kB/s" in complaint(problems(written({"upload.max_rate": "999B/s"})), "upload.max_rate")
